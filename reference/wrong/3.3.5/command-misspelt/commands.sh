docker ps -a
docker remove $(docker ps -aq)
