docker build -t sales-predictor .
docker images
docker tagg sales-predictor sales-predictor:v1.0
