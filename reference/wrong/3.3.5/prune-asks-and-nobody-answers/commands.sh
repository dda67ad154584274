docker ps -a
docker stop $(docker ps -q)
docker container prune
