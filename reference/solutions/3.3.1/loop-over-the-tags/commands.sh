image=$(docker build --quiet .)
for tag in latest v1.0 v1; do
    docker image tag "$image" "sales-predictor:$tag"
done
docker image list --format '{{.Repository}}:{{.Tag}} {{.ID}}'
