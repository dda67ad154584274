import sys
from pandas import *
m = DataFrame([float(a) for a in sys.argv[1:]], columns=["s"]).s.mean()
print(f"Predicted sales for next week: {m}")
