sales = [100, 120, 110]
next_week = sum(sales) / len(sales)
print(f"[log] sales: {sales}")
print(f"[log] prediction: {next_week}")
