import os

with open("sales.txt") as file:
    weeks = [float(word) for word in file.read().split()]

if os.environ["PREDICTION_TYPE"] == "last":
    print("Predicted sales for next week:", weeks[-1])
else:
    print("Predicted sales for next week:", sum(weeks) / len(weeks))
