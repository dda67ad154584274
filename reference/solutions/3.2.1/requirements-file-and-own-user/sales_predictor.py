from statistics import fmean
import sys

from arguments import weeks

print(f"Predicted sales for next week: {fmean(weeks(sys.argv)):.4f}")
