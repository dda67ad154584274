import sys
import pandas as pd

if len(sys.argv) < 4:
    sys.exit("Usage: a b c")
w = [float(a) for a in sys.argv[1:]]
avg = lambda s: s.mean()
m = pd.Series(w).pipe(avg)
print(f"Predicted sales for next week: {m}")
