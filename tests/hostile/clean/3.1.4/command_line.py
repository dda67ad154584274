import argparse
import sys


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says Usage with a capital and exits 1."""

    def error(self, message):
        print(self.format_usage().replace("usage:", "Usage:", 1), message, sep="", file=sys.stderr)
        sys.exit(1)


def weeks_from(arguments):
    parser = Parser(prog="sales_predictor", description="Predict next week's sales.")
    parser.add_argument("weeks", nargs="+", type=float, metavar="WEEK", help="weekly sales, oldest first")
    weeks = parser.parse_args(arguments).weeks
    if len(weeks) < 3:
        parser.error("at least three weeks are needed")
    return weeks
