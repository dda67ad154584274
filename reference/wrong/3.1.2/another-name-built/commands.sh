docker build -t sales-predictor-app .
docker run sales-predictor-app
