docker build -t sales-predictor .
docker run --rm sales-predictor
