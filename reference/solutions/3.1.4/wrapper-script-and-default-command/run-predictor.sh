#!/bin/sh
# Runs the script that is named first, or sales_predictor.py with all that was given.
set -eu
case "${1:-}" in
*.py) ;;
*) set -- /app/sales_predictor.py "$@" ;;
esac
exec python "$@"
