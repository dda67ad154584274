set -e
docker build -t sales-predictor .
docker tag sales-predictor:v1.0 sales-predictor
docker images
