import pandas as pd


def summary(weeks):
    """Count, mean, spread and quartiles of the weeks."""
    frame = pd.DataFrame({"sales": weeks}).astype(float)
    return frame["sales"].describe()
