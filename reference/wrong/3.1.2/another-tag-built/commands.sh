docker build -t sales-predictor:v1 .
docker run sales-predictor:v1
