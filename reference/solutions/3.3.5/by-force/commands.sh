docker rm --force $(docker ps --all --quiet)
