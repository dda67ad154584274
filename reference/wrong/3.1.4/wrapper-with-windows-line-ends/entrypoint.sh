#!/bin/sh
exec python /app/sales_predictor.py "$@"
