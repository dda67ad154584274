import argparse, sys


class P(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage()
        sys.exit(1)


p = P()
p.add_argument("weeks", nargs=3, type=float)
w = p.parse_args().weeks
print("Predicted sales for next week:", sum(w) / 3)
