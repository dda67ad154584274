import sys
from statistics import mean

sales = sys.argv[1:]
if len(sales) < 3:
    print("Usage: python sales_predictor.py week1 week2 week3")
    sys.exit(1)
print(f"Predicted sales for next week: {mean(map(float, sales))}")
