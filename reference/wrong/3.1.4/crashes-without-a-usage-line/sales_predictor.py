import sys

sales = [float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])]
next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
