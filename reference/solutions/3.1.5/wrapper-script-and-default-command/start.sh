# docker run IMAGE            runs sales_predictor.py
# docker run IMAGE 1 2 3      runs sales_predictor.py 1 2 3
# docker run IMAGE other.py   runs other.py
case "$1" in
  *.py) exec python "$@" ;;
  *) exec python sales_predictor.py "$@" ;;
esac
