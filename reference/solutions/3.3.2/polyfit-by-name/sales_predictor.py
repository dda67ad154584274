from os import environ

from numpy import arange, loadtxt, polyfit, polyval

sales = loadtxt("sales.txt")
methods = {
    "average": lambda: sales.mean(),
    "last": lambda: sales[-1],
    # Any numbering of the weeks will do, as long as the next one goes on with it.
    "trend": lambda: polyval(polyfit(arange(1, sales.size + 1), sales, deg=1), sales.size + 1),
}
print("Predicted sales for next week: %.3f" % methods[environ["PREDICTION_TYPE"]]())
