from statistics import mean

sales = [100, 120, 110]
prediction = mean(sales)
print(f"Predicted sales for next week: {prediction}")
print(f"DEBUG: {prediction=}")
