if [ ! -f /app/sales.txt ]; then echo "mount sales.txt" >&2; exit 66; fi
case "$PREDICTION_TYPE" in average|last) exec python sales_predictor.py;; *) echo "no such type: $PREDICTION_TYPE"; exit 2;; esac
