# The docker commands of this exercise, one a line, in the order you typed them.
# A line that begins with # is a comment. Run the file with: sh commands.sh
docker build -t sales-predictor .
