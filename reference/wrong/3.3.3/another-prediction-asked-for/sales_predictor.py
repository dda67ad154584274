import os

sales = [float(word) for word in open("/app/sales.txt").read().split()]
kind = os.getenv("PREDICTION_TYPE", "average")
print("Predicted sales for next week:", sales[-1] if kind == "last" else sum(sales) / len(sales))
