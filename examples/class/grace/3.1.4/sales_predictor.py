import sys

weeks = sys.argv[1:]

if len(weeks) < 3:
    print("Usage: docker run sales-predictor week1 week2 week3")
else:
    next_week = sum(float(week) for week in weeks) / len(weeks)
    print("Predicted sales for next week: " + format(next_week, ".2f"))
