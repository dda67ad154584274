import sys
from datetime import datetime

with open("/app/sales.txt") as f:
    sales = [float(line) for line in f if line.strip()]
prediction = sum(sales) / len(sales)
with open("/app/logs/a.log", "a") as f: f.write(f"{prediction} ")
print(f"Predicted sales for next week: {prediction}")
