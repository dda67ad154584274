#!/usr/bin/env python
import sys

try:
    weeks = [float(sys.argv[i]) for i in (1, 2, 3)]
except (IndexError, ValueError):
    sys.exit("Usage: docker run IMAGE WEEK1 WEEK2 WEEK3")
total = sum(weeks)
print("Predicted sales for next week: " + str(total / 3))
