#!/usr/bin/env python3
import sys

USAGE = "Usage: {} <week1> <week2> <week3>"


def predict(*weeks):
    return sum(map(float, weeks)) / len(weeks)


if len(sys.argv[1:]) < 3:
    print(USAGE.format(sys.argv[0]))
    sys.exit(1)
print("Predicted sales for next week: %.2f" % predict(*sys.argv[1:]))
