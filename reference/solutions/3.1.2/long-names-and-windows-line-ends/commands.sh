docker image build --tag sales-predictor:latest .
docker image ls sales-predictor
docker container run --name sales-predictor-first-run sales-predictor:latest
docker container rm sales-predictor-first-run
