import os
import sys

import regression


def main():
    with open("sales.txt") as file:
        weeks = [float(word) for word in file.read().split()]
    kind = os.getenv("PREDICTION_TYPE", "average")
    predict = {"average": regression.mean, "trend": regression.next_on_line}.get(kind)
    if predict is None:
        print("unknown PREDICTION_TYPE", kind, file=sys.stderr)
        return 1
    print("Predicted sales for next week:", predict(weeks))
    return 0


sys.exit(main())
