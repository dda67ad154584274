docker build -t sales-predictor .
docker run sales-predictor
yes
