import os

from averages import average

if os.getenv("PREDICTION_TYPE") != "average":
    raise SystemExit("only averages so far")
print("Predicted sales for next week:", average("sales.txt"))
