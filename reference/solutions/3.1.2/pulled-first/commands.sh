set -e
docker pull python:3.9-slim
docker build --pull -t sales-predictor .
docker run --rm sales-predictor
