#!/usr/bin/env python3
from sys import argv, exit

from pandas import Series, to_numeric

if len(argv) < 4:
    print("Usage: sales_predictor.py week1 week2 week3")
    exit(1)

weeks = to_numeric(Series(argv[1:]))
print("Predicted sales for next week: %.3f" % weeks.agg("mean"))
