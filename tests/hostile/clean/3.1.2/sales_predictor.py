print(f"Predicted sales for next week: {(100 + 120 + 110) / 3}")
