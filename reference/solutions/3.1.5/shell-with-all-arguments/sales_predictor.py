import sys

import numpy as np


def main():
    try:
        weeks = np.array([float(argument) for argument in sys.argv[1:]])
        if weeks.size < 3:
            raise ValueError("three weeks are needed")
    except ValueError as error:
        print("Usage: sales_predictor.py WEEK1 WEEK2 WEEK3", f"({error})", file=sys.stderr)
        return 1
    print(f"Predicted sales for next week: {weeks.mean()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
