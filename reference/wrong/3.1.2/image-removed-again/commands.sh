docker build -t sales-predictor .
docker run --rm sales-predictor
docker image rm --force sales-predictor
