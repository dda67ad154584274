import sys

if len(sys.argv) < 2:
    print("Usage: python sales_predictor.py <week1> <week2> <week3>")
    sys.exit(1)

first, second, third = [float(week) for week in sys.argv[1:]]
print(f"Predicted sales for next week: {(first + second + third) / 3}")
