docker ps -a
docker rm $(docker ps -aq)
docker ps -a
