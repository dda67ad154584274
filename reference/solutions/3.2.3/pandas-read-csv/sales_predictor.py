import pandas as pd

# No header: the first line is a week like the others. Blank lines are skipped.
df = pd.read_csv("sales.txt", header=None, names=["sales"])
print(f"Predicted sales for next week: {df['sales'].mean()}")
