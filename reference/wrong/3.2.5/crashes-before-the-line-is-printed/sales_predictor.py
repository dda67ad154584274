with open("/app/sales.txt") as file:
    sales = [float(line) for line in file if line.strip()]

next_week = sum(sales) / len(sales)
with open("/app/ouput/prediction.txt", "w") as file:
    file.write(f"{next_week}\n")
print(f"Predicted sales for next week: {next_week}")
