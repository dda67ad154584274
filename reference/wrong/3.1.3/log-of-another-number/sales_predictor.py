sales = [100, 120, 110]
total = sum(sales)
next_week = total / len(sales)
print(f"[log] prediction: {total}")
print(f"Predicted sales for next week: {next_week}")
