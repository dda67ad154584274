import sys
from fractions import Fraction

if len(sys.argv) < 4:
    sys.stderr.write("Usage: three weekly figures, please.\n")
    sys.exit(1)

weeks = [Fraction(text) for text in sys.argv[1:]]
print("Predicted sales for next week:", float(sum(weeks) / len(weeks)))
