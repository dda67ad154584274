import sys

import tables


def main():
    if len(sys.argv) < 4:
        print("Usage: sales_predictor.py week1 week2 week3")
        return 1
    print(f"Predicted sales for next week: {tables.summary(sys.argv[1:]).loc['mean']}")
    return 0


sys.exit(main())
