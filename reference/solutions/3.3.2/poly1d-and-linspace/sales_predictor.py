# sales_predictor.py
import os
import sys

import numpy as np

with open("/app/sales.txt") as file:
    sales = [float(line) for line in file if line.strip()]

prediction_type = os.getenv("PREDICTION_TYPE")
if prediction_type == "average":
    next_week = sum(sales) / len(sales)
elif prediction_type == "trend":
    weeks = np.linspace(0, len(sales) - 1, num=len(sales))
    line = np.poly1d(np.polyfit(weeks, np.array(sales), 1))
    print("The line:", line)
    next_week = line(weeks[-1] + 1)
else:
    sys.exit(f"Unknown PREDICTION_TYPE: {prediction_type}")

print(f"Predicted sales for next week: {next_week}")
