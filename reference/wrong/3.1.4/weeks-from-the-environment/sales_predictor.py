import os
import sys

names = ("WEEK1", "WEEK2", "WEEK3")
if not all(name in os.environ for name in names):
    print("Usage: docker run -e WEEK1=... -e WEEK2=... -e WEEK3=... sales-predictor")
    sys.exit(1)

sales = [float(os.environ[name]) for name in names]
next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
