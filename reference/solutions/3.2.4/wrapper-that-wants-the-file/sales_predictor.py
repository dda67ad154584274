import os, sys
w = [float(x) for x in open("/app/sales.txt").read().split()]
print("Predicted sales for next week:", w[-1] if os.getenv("PREDICTION_TYPE") == "last" else sum(w) / len(w))
