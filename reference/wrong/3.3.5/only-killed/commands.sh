docker ps -a
docker kill $(docker ps -q)
docker ps
