docker biuld -t sales-predictor .
docker run --rm sales-predictor
