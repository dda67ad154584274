docker ps -a
docker rm $(docker ps -aq --filter status=exited)
