"""Predict next week's sales from the weeks given as arguments."""

import sys

import numpy
import pandas

print("numpy", numpy.__version__, "pandas", pandas.__version__, file=sys.stderr)

arguments = sys.argv[1:]
if len(arguments) < 3:
    raise SystemExit("Usage: sales_predictor.py WEEK WEEK WEEK ...")

weeks = [float(argument) for argument in arguments]
print("Predicted sales for next week:", sum(weeks) / len(weeks))
