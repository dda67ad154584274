docker build -t sales-predictor .
docker tag sales-predictor sales-predictor-app:v1.0
docker images
