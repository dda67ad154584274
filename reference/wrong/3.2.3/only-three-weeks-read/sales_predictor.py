# sales_predictor.py
with open("/app/sales.txt") as file:
    sales = [float(line) for line in file if line.strip()]

next_week = (sales[0] + sales[1] + sales[2]) / 3
print(f"Predicted sales for next week: {next_week}")
