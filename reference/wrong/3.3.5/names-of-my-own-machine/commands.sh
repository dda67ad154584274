docker ps -a
docker stop my-predictor
docker rm my-predictor
