import sys

with open(sys.argv[1]) as file:
    sales = [float(line) for line in file if line.strip()]
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
