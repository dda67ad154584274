# The first line is the heading.
docker ps -a | tail -n +2 | awk '{ print $1 }' > /tmp/containers
while read -r container; do
    docker container stop --time 1 "$container"
    docker container rm --volumes "$container"
done < /tmp/containers
