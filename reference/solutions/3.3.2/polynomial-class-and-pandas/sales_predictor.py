#!/usr/bin/env python
import os

import pandas as pd
from numpy.polynomial import Polynomial

sales = pd.read_csv("sales.txt", header=None, names=["sales"]).sales
kind = os.environ.get("PREDICTION_TYPE")
if kind == "trend":
    line = Polynomial.fit(sales.index, sales, deg=1)
    print(f"Predicted sales for next week: {line(len(sales)):.4f}")
elif kind == "average":
    print(f"Predicted sales for next week: {sales.mean():.4f}")
else:
    raise SystemExit(f"PREDICTION_TYPE must be average or trend, not {kind}")
