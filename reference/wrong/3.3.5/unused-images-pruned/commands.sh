docker ps -a
docker rm -f $(docker ps -aq)
docker image prune -a -f
