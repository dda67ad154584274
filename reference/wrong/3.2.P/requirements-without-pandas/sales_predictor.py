weeks = [float(word) for word in open("/app/sales.txt").read().split()]
print(f"Predicted sales for next week: {sum(weeks) / len(weeks)}")
