docker ps -a
docker rm
