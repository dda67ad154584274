sales = [100, 120, 110]
next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
with open("/tmp/prediction.log", "a") as log:
    print(f"prediction: {next_week}", file=log)
