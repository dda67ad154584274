w = [float(x[:-1]) for x in open("/app/sales.txt") if x.strip()]
print(f"Predicted sales for next week: {sum(w) / len(w)}")
