# sales_predictor.py
from pathlib import Path

import pandas as pd

# One figure a line, no header; blank lines are skipped.
df = pd.read_csv("/app/sales.txt", header=None, names=["sales"])
next_week = df["sales"].mean()
print(f"Predicted sales for next week: {next_week}")

# Each run has its own file, and the newest stands first in a listing.
logs = Path("/app/logs")
logs.mkdir(exist_ok=True)
number = 999 - len(list(logs.glob("run-*.log")))
(logs / f"run-{number:03}.log").write_text(f"prediction: {next_week}\n")
