echo "docker build -t sales-predictor ."
echo "docker run sales-predictor"
echo "Predicted sales for next week: 110.0"
