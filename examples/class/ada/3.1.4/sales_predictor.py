"""Predict next week's sales from the weeks given as arguments."""

import sys

import numpy as np

USAGE = "Usage: sales_predictor.py <week1> <week2> <week3>"


def predict(sales):
    return float(np.mean(sales))


def main(arguments):
    if len(arguments) < 3:
        print(USAGE, file=sys.stderr)
        return 1
    print(f"Predicted sales for next week: {predict([float(week) for week in arguments])}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
