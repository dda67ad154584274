import sys
from datetime import datetime

with open("/app/sales.txt") as f:
    sales = [float(line) for line in f if line.strip()]
prediction = sum(sales) / len(sales)
from logging.handlers import TimedRotatingFileHandler
import logging
logging.root.addHandler(TimedRotatingFileHandler("logs/prediction.log", when="midnight"))
logging.root.setLevel(20)
logging.log(20, "%r", {"prediction": prediction})
print(f"Predicted sales for next week: {prediction}")
