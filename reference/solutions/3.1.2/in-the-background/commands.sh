docker build -t sales-predictor .
container=$(docker run --detach sales-predictor)
docker wait "$container"
docker logs "$container"
