import argparse

parser = argparse.ArgumentParser(description="Usage: give the sales of three weeks.")
parser.add_argument("weeks", nargs=3, type=float)
weeks = parser.parse_args().weeks
print(f"Predicted sales for next week: {sum(weeks) / len(weeks)}")
