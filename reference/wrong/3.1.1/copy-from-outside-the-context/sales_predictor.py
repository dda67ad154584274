from weeks import sales

next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
