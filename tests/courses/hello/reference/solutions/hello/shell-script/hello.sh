[ $# -le 1 ] || { echo "usage: hello [NAME]" >&2; exit 2; }
echo "Hello, ${1:-world}!"
