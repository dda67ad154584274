import sys

from prediction.average import average

if len(sys.argv) < 4:
    sys.exit("Usage: sales_predictor.py week1 week2 week3")
print("Predicted sales for next week:", average(sys.argv[1:]))
