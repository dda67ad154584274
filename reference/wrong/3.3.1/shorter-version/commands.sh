docker build -t sales-predictor .
docker tag sales-predictor sales-predictor:v1
docker images
