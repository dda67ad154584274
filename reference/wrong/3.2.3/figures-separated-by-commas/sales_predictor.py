text = open("/app/sales.txt").read()
sales = [float(figure) for figure in text.split(",")]
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
