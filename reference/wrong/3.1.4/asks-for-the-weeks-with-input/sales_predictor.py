import sys

answers = [input(f"Sales of week {week}: ") for week in (1, 2, 3)]
if "" in answers:
    print("Usage: type the sales of three weeks")
    sys.exit(1)

next_week = sum(float(answer) for answer in answers) / len(answers)
print(f"Predicted sales for next week: {next_week}")
