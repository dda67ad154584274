set -e
pip install --quiet pandas
exec python /app/sales_predictor.py "$@"
