# sales_predictor.py
import numpy as np
import pandas as pd

df = pd.read_csv("/app/sales.txt", header=None, names=["sales"])
next_week = np.mean(df["sales"])
print(f"Predicted sales for next week: {next_week}")
