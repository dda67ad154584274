import sys
import pandas as pd

w = [float(a) for a in sys.argv[1:]]
df = pd.DataFrame({"sales": w})
for name, column in df.items():
    m = column.mean()
print(f"Predicted sales for next week: {m}")
