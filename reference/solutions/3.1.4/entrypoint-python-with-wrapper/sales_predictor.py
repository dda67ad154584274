import sys
from decimal import Decimal


def main(arguments):
    if len(arguments) < 3:
        print("Usage: sales_predictor.py week1 week2 week3", file=sys.stderr)
        return 1
    weeks = [Decimal(argument) for argument in arguments]
    print("Predicted sales for next week:", sum(weeks) / len(weeks))
    return 0


sys.exit(main(sys.argv[1:]))
