import os
import sys

import numpy as np


def read(path="/app/sales.txt"):
    with open(path) as f:
        return [float(x) for x in f.read().split()]


def trend(sales):
    n = len(sales)
    X = np.column_stack([np.ones(n), np.arange(n)])
    beta = np.linalg.lstsq(X, np.array(sales).reshape(-1, 1), rcond=None)[0]
    return np.array([1, n]) @ beta


kind = os.getenv("PREDICTION_TYPE", "average")
sales = read()
if kind == "average":
    result = sum(sales) / len(sales)
elif kind == "last":
    result = sales[-1]
elif kind == "trend":
    result = trend(sales)
else:
    print(f"unknown type: {kind}", file=sys.stderr)
    sys.exit(2)
print(f"Predicted sales for next week: {result}")
