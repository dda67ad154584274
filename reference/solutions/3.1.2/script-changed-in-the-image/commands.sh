docker buildx build --load --progress=plain -t sales-predictor .
docker run --name first sales-predictor
docker cp first:/app/sales_predictor.py copied.py
docker rm first
docker run sales-predictor
