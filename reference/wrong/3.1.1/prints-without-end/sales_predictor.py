sales = [100, 120, 110]
week = 0
while week < len(sales):
    print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
