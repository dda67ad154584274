docker build -t sales-predictor .
docker images
