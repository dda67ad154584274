#!/usr/bin/env python
"""Predict from the weeks given as arguments, else from sales.txt beside this script."""

import os
import sys

from pandas import Series

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sales.txt")


def weeks():
    if len(sys.argv) > 1:
        return sys.argv[1:]
    try:
        with open(FILE, newline=None) as file:
            return [line for line in map(str.strip, file) if line]
    except FileNotFoundError:
        sys.exit(f"Usage: sales_predictor.py WEEK..., or mount a file at {FILE}")


print("Predicted sales for next week: {:.4f}".format(Series(weeks()).astype(float).mean()))
