import sys
import pandas as pd

w = [float(a) for a in sys.argv[1:]]
m = pd.Series(w).mean()
print(f"Predicted sales for next week: {m}")
