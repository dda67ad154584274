docker ps -a
docker kill $(docker ps --quiet)
docker container prune --force
