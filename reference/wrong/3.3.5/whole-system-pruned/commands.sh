docker ps -a
docker rm -f $(docker ps -aq)
docker system prune --all --force
