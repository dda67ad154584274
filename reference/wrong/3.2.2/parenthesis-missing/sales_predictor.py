# sales_predictor.py
import sys

import pandas as pd

if len(sys.argv) < 4:
    print("Usage: python sales_predictor.py <week1> <week2> <week3>")
    sys.exit(1)

df = pd.DataFrame({"sales": [float(week) for week in sys.argv[1:]]})
next_week = df["sales"].mean()
print(f"Predicted sales for next week: {next_week}"
