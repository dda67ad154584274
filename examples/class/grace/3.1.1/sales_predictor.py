sales = [100, 120, 110]

next_week = sum(sales) / len(sales)
print("Predicted sales for next week: " + format(next_week, ".2f"))
