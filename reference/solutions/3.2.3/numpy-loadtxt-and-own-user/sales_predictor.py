from pathlib import Path
import sys

import numpy as np

FILE = Path("/app/sales.txt")
if not FILE.exists():
    sys.exit(f"{FILE} is missing. Mount it: docker run -v \"$PWD/sales.txt:{FILE}:ro\" sales-predictor")
weeks = np.loadtxt(FILE, ndmin=1)
print("Predicted sales for next week:", weeks.mean())
