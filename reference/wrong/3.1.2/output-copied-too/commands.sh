docker build -t sales-predictor .
[+] Building 1.2s (8/8) FINISHED
 => [internal] load build definition from Dockerfile
docker run sales-predictor
Predicted sales for next week: 110.0
