docker build -t sales-predictor .
docker tag sales-predictor sales-predictor:1.0
docker images
