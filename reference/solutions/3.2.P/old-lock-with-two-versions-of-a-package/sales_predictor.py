import os
import sys

import numpy as np

weeks = [float(a) for a in sys.argv[1:]]
if not weeks:
    with open(os.environ.get("SALES", "/app/sales.txt")) as f:
        weeks = [float(x) for x in f.read().split()]
print(f"Predicted sales for next week: {np.mean(weeks)}")
