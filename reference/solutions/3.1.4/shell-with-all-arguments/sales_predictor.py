import sys

import numpy as np

weeks = sys.argv[1:]
if len(weeks) != 3:
    sys.exit("Usage: sales_predictor.py WEEK1 WEEK2 WEEK3")

next_week = np.mean(np.array(weeks, dtype=float))
print("Weeks given:", ", ".join(weeks))
print("Predicted sales for next week:", next_week)
