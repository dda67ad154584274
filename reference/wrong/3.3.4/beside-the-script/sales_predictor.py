# sales_predictor.py
import logging
import os

os.makedirs("/app/logs", exist_ok=True)
logging.basicConfig(
    filename="/app/sales_predictor.log",
    level=logging.INFO,
    format="%(asctime)s %(levelname)s %(message)s",
)

with open("/app/sales.txt") as file:
    sales = [float(line) for line in file if line.strip()]

next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
logging.info("Predicted %s from %d weeks", next_week, len(sales))
