docker build -t sales-predictor .
docker tag python:3.9-slim sales-predictor:v1.0
docker images
