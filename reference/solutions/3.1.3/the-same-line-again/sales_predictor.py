sales = [100, 120, 110]
next_week = sum(sales) / len(sales)
message = f"Predicted sales for next week: {next_week}"
print(message)  # for the log
print(message)
