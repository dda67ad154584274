docker build -t sales-predictor .
docker tag sales-predictor sales-predictor:v1.0
docker images
docker image rm sales-predictor:v1.0
