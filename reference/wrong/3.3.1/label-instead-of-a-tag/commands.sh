docker build -t sales-predictor --label version=v1.0 .
docker images
