import argparse


def average(weeks: "list[float]") -> float:
    # pandas takes a while to load, so --help does not wait for it.
    import pandas as pd

    if not (series := pd.Series(weeks)).empty:
        return series.mean()
    raise SystemExit("no weeks")


parser = argparse.ArgumentParser(description="Predict next week's sales.")
parser.add_argument("weeks", nargs="+", type=float)
print(f"Predicted sales for next week: {average(parser.parse_args().weeks)}")
