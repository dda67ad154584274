docker ps -a
echo "docker rm -f \$(docker ps -aq)"
