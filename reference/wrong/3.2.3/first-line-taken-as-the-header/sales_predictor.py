import pandas as pd

df = pd.read_csv("/app/sales.txt")
print(f"Predicted sales for next week: {df.iloc[:, 0].mean()}")
