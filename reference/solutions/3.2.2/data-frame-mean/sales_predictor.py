import sys

import pandas

weeks = sys.argv[1:]
if not weeks:
    sys.exit("Usage: sales_predictor.py WEEK...")

df = pandas.DataFrame(weeks, columns=["sales"], dtype=float)
print(df.to_string())
# mean() of a DataFrame has one value a column.
means = df.mean()
print("Predicted sales for next week:", means["sales"])
