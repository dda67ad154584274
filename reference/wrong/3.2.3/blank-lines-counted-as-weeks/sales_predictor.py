lines = open("/app/sales.txt").read().splitlines()
total = 0
for line in lines:
    if line.strip():
        total += float(line)
print(f"Predicted sales for next week: {total / len(lines)}")
