docker ps -a
docker rm -f "$(docker ps -aq)"
