import sys
import pandas as pd

w = [float(a) for a in sys.argv[1:]]
class Predictor:
    def __init__(self, sales):
        self.sales = sales

    def average(self):
        return self.sales.mean()


m = Predictor(pd.Series(w)).average()
print(f"Predicted sales for next week: {m}")
