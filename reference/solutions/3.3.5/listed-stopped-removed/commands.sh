docker ps -a
docker stop $(docker ps -q)
docker rm $(docker ps -aq)
docker ps -a
