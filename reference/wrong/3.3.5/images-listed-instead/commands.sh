docker images --all
docker stop $(docker ps -q)
docker container prune --force
