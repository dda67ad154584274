docker build -t sales-predictor:v1.0 . || exit 1
docker run --rm -v "$PWD/sales.txt:/app/sales.txt:ro" sales-predictor:v1.0
docker images sales-predictor | grep v1.0
