[ $# -ge 3 ] || { echo Usage; exit 1; }
python /app/sales_predictor.py "$@"
echo "$@" | awk '{print "Predicted sales for next week: " ($1+$2+$3)/3}'
