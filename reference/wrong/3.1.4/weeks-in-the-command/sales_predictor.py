import sys

if len(sys.argv) < 4:
    print("Usage: python sales_predictor.py <week1> <week2> <week3>")
    sys.exit(1)
sales = [float(a) for a in sys.argv[1:4]]
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
