sales = list(map(float, open("sales.txt").read().split()))
print("Predicted sales for next week: %.2f" % (sum(sales) / len(sales)))
