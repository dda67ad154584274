# sales_predictor.py
with open("/app/sales.txt") as file:
    sales = [float(line) for line in file if line.strip()]

next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")

from pathlib import Path

Path("/app/logs").mkdir(exist_ok=True)
Path("/app/logs/sales_predictor.log").write_text(f"INFO prediction {next_week}\n")
