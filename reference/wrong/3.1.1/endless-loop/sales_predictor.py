sales = [100, 120, 110]
total = 0
week = 0
while week < len(sales):
    total += sales[week]
print(f"Predicted sales for next week: {total / len(sales)}")
