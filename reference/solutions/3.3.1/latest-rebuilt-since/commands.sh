# The release, and then the work on the next one: the tag stays where it is.
docker build --tag sales-predictor:v1.0 .
docker build --tag sales-predictor --label stage=development .
docker images --digests sales-predictor
