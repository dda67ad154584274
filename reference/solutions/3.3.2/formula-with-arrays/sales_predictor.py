import os

import numpy as np


def trend(y):
    x = np.arange(y.size)
    slope = np.cov(x, y, bias=True)[0, 1] / np.var(x)
    return y.mean() + slope * (y.size - x.mean())


def average(y):
    return np.average(y)


with open("/app/sales.txt") as file:
    figures = np.asarray(file.read().split(), dtype=np.float64)
choice = {"trend": trend, "average": average}[os.getenv("PREDICTION_TYPE")]
print("Predicted sales for next week:", float(choice(figures)))
