sales = [100, 120, 110]
next_week = sum(sales) / 2
print(f"Predicted sales for next week: {next_week}")
