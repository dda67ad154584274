import sys

weeks = sys.argv[1:]
if len(weeks) in (0, 1, 2):
    print("Usage: python sales_predictor.py week1 week2 week3")
    sys.exit(1)

total = 0.0
for week in weeks:
    total += float(week)
print("Predicted sales for next week:", total / len(weeks))
