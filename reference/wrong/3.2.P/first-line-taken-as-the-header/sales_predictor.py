# sales_predictor.py
import pandas as pd

# One figure a line, no header; blank lines are skipped.
df = pd.read_csv("/app/sales.txt")
next_week = df.iloc[:, 0].mean()
print(f"Predicted sales for next week: {next_week}")
