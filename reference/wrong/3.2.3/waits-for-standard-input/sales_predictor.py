import sys

sales = []
for week in range(3):
    sales.append(float(input("Sales of the week: ")))
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
