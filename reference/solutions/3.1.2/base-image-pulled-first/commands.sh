docker pull python:3.9-slim
docker run --rm --pull always python:3.9.2 python --version
docker build --pull -t sales-predictor .
docker run --rm sales-predictor
