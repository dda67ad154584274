text = open("/app/sales.txt").read()
sales = [float(line) for line in text.split("\n")[:-1] if line.strip()]
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
