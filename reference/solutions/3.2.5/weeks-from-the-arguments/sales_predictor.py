#!/usr/bin/env python
import sys

if len(sys.argv) < 4:
    print("Usage: sales_predictor.py week1 week2 week3", file=sys.stderr)
    sys.exit(1)

weeks = list(map(float, sys.argv[1:]))
prediction = sum(weeks) / len(weeks)
with open("prediction.txt", "wt", encoding="utf-8") as output:
    for stream in sys.stdout, output:
        print("Predicted sales for next week:", prediction, file=stream)
