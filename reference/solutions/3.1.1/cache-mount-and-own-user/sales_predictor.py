from statistics import mean

last_three_weeks = [100, 120, 110]
print(f"Predicted sales for next week: {mean(last_three_weeks)}")
