sales = [100, 120, 110]
print("Predicting...")
next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
print("Prediction logged for", len(sales), "weeks")
