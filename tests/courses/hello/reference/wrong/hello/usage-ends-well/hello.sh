[ $# -le 1 ] || { echo "usage: hello [NAME]" >&2; exit; }
echo "Hello, ${1:-world}!"
