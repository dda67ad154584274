sales = []
for week in (1, 2, 3):
    sales.append(float(input(f"Sales of week {week}: ")))

next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
