set -e
docker build --tag sales-predictor-draft .
docker tag sales-predictor-draft sales-predictor
docker image rm sales-predictor-draft
for attempt in 1 2; do
    docker run --rm sales-predictor | tee "/tmp/run-$attempt.txt"
done
grep -q "next week: 110" /tmp/run-2.txt
