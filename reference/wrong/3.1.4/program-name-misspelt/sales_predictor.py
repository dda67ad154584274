import sys

if len(sys.argv) < 4:
    print("Usage: python sales_predictor.py <week1> <week2> <week3>")
    sys.exit(1)

sales = [float(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])]
next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
