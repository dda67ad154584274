docker build -t sales-predictor-v1.0 .
docker images
