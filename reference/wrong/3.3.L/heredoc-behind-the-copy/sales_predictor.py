import numpy as np
with open("/app/sales.txt") as f:
    sales = [float(line) for line in f if line.strip()]
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
