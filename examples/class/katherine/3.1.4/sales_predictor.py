# average of three weeks given as arguments
import sys

if len(sys.argv) != 4:
    print("Usage: give exactly three weeks")
    sys.exit(1)

sales = [float(week) for week in sys.argv[1:]]
next_week = sum(sales) / 3
print(f"Predicted sales for next week: {next_week}")
