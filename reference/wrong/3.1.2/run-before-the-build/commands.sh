docker run sales-predictor
docker build -t sales-predictor .
