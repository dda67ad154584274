import sys

import numpy as np

weeks = np.array(sys.argv[1:], dtype=float)
if weeks.size < 3:
    sys.exit("Usage: sales_predictor.py week1 week2 week3")
print(f"Predicted sales for next week: {weeks.mean()}")
