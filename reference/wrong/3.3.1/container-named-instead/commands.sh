docker build -t sales-predictor .
docker run --name sales-predictor-v1.0 sales-predictor true
docker images
