docker ps -a
docker stop $(docker ps -q)
