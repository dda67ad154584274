def average(weeks):
    return sum(weeks) / len(weeks)


print("Predicted sales for next week:", average([100, 120, 110]))
