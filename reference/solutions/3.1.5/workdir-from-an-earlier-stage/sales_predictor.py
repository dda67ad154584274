import sys

import weekly

try:
    prediction = weekly.average(sys.argv[1:])
except weekly.TooFewWeeks:
    print("Usage: sales_predictor.py WEEK WEEK WEEK [WEEK ...]")
    sys.exit(1)
print(f"Predicted sales for next week: {prediction!r}")
