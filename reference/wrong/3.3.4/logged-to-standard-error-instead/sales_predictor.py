import logging

logging.basicConfig(
    level=logging.INFO,
    format="%(message)s",
    handlers=[logging.FileHandler("/app/logs/sales_predictor.log"), logging.StreamHandler()],
)
sales = [float(word) for word in open("/app/sales.txt").read().split()]
logging.info("Predicted sales for next week: %s", sum(sales) / len(sales))
