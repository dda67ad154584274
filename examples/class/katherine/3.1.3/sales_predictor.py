# average of the last three weeks
sales = [100, 120, 110]
next_week = sum(sales) / 3
print(f"Predicted sales for next week: {next_week}")
print(f"(log) {next_week}")
