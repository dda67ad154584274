import sys
from statistics import median

if len(sys.argv) < 4:
    print("Usage: python sales_predictor.py <week1> <week2> <week3>")
    sys.exit(1)

next_week = median(float(week) for week in sys.argv[1:])
print(f"Predicted sales for next week: {next_week}")
