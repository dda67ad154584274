import sys

try:
    first, second, third = (float(week) for week in sys.argv[1:4])
except ValueError:
    print("Usage: docker run IMAGE WEEK1 WEEK2 WEEK3", file=sys.stderr)
    raise SystemExit(1)

print(f"Predicted sales for next week: {(first + second + third) / 3:.2f}")
