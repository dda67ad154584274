docker ps -a
docker image prune -f
