print("Predicted sales for next week: 110.0")
