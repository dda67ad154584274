docker ps -a
docker stop 3f4a9c1d22be
docker rm 3f4a9c1d22be 77aa01c0ffee
