import sys

import numpy

if len(sys.argv) < 4:
    sys.exit("Usage: sales_predictor.py week1 week2 week3")

sales = numpy.array(sys.argv[1:], dtype=float)
print("Predicted sales for next week:", sales.mean())
