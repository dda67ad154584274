import os
import tempfile

import pandas as pd

from report import report

sales = pd.read_csv("sales.txt", header=None, names=["sales"])["sales"]
prediction = sales.mean()

# Whoever reads the file sees the old prediction or the new one, never half of one.
with tempfile.NamedTemporaryFile("w", dir="output", delete=False) as file:
    file.write(report(sales, prediction))
os.chmod(file.name, 0o644)
os.replace(file.name, "output/prediction.txt")
print("Predicted sales for next week:", prediction)
