docker build -q -t sales-predictor "$PWD" > /dev/null
id=$(docker create sales-predictor)
docker start --attach "$id" && docker rm "$id"
