import io
import sys

import pandas as pd

if len(sys.argv) < 4:
    sys.exit("Usage: sales_predictor.py week1 week2 week3")

df = pd.read_csv(io.StringIO("\n".join(sys.argv[1:])))
print("Predicted sales for next week:", df.mean().iloc[0])
