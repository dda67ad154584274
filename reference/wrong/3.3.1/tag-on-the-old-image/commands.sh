docker build -t sales-predictor first-try
docker tag sales-predictor sales-predictor:v1.0
docker build -t sales-predictor .
docker images
