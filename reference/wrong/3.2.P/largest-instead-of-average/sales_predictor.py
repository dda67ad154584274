# sales_predictor.py
import pandas as pd

# One figure a line, no header; blank lines are skipped.
df = pd.read_csv("/app/sales.txt", header=None, names=["sales"])
next_week = df["sales"].max()
print(f"Predicted sales for next week: {next_week}")
