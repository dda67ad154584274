"""Predict next week's sales from the last three weeks."""

import numpy as np
from tabulate import tabulate

WEEKS = {"three weeks ago": 100, "two weeks ago": 120, "last week": 110}

print(tabulate(WEEKS.items(), headers=["week", "sales"]))
prediction = float(np.mean(list(WEEKS.values())))
print(f"Predicted sales for next week: {prediction}")
