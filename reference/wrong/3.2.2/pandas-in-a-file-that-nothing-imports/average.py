import pandas as pd


def average(weeks):
    return pd.Series(weeks).mean()
