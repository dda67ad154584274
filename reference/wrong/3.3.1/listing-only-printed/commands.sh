docker build -t sales-predictor .
docker tag sales-predictor sales-predictor:v1.0
echo docker images
