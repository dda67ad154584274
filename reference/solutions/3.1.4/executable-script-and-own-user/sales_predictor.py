#!/usr/bin/env python
import sys

import numpy

if len(sys.argv) != 4:
    print("Usage:", sys.argv[0], "week1 week2 week3")
    exit(1)

weeks = numpy.asarray(sys.argv[1:], dtype="float64")
print(f"Predicted sales for next week: {weeks.mean():.3f}")
