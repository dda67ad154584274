sales = []
with open("/app/sales.txt") as file:
    line = file.readline()
    while line.strip():
        sales.append(float(line))
        line = file.readline()
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
