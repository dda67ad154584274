docker tag python:3.9-slim sales-predictor
docker run sales-predictor python -c 'print("Predicted sales for next week: 110.0")'
