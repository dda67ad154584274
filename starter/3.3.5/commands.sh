# The docker commands of this exercise, one a line, in the order you typed them.
# A line that begins with # is a comment. Try each of them by hand first: this file
# removes containers, and there is no way back.
docker ps
