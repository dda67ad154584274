# sales_predictor.py
import os
import sys

with open("/app/sales.txt") as file:
    sales = [float(line) for line in file if line.strip()]

prediction_type = os.getenv("PREDICTION_TYPE")
if prediction_type == "average":
    next_week = sum(sales) / len(sales)
elif prediction_type == "trend":
    n = len(sales)
    middle = (n - 1) / 2
    slope = sum((x - middle) * y for x, y in enumerate(sales)) / sum((x - middle) ** 2 for x in range(n))
    next_week = sum(sales) / n + slope * (n - middle)
else:
    sys.exit(f"Unknown PREDICTION_TYPE: {prediction_type}")

print(f"Predicted sales for next week: {next_week}")
