sales = [100, 120, 110]
print(f"Predicted sales for next week: {sum(sales) / 2}")
