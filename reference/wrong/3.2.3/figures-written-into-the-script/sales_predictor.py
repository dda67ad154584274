sales = [100, 120, 110]  # from sales.txt
next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
