import os


class UnknownType(Exception):
    """Nobody has written that prediction."""


def predict(weeks, kind):
    if kind == "last":
        return weeks.pop()
    if kind == "average":
        return sum(weeks) / len(weeks)
    raise UnknownType(kind)


figures = [float(word) for word in open("sales.txt").read().split()]
print("Predicted sales for next week:", predict(figures, os.getenv("PREDICTION_TYPE")))
