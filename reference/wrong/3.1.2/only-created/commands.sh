docker build -t sales-predictor .
docker create sales-predictor
