from statistics import mean

sales = [100, 120, 110]
print(f"Predicted sales for next week: {mean(sales)}")
