docker build -t sales-predictor old
docker run sales-predictor
