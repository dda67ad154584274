import sys
from datetime import datetime

import numpy as np

sales = np.array([100, 120, 110])
next_week = np.mean(sales)
print(f"{datetime.now():%Y-%m-%d %H:%M:%S} INFO prediction={next_week:.2f}", file=sys.stderr)
print(f"Predicted sales for next week: {next_week:.1f}")
