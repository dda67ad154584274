docker ps -a
docker rm <container_id>
