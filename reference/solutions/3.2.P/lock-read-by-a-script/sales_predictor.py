from pandas import read_csv

print("Predicted sales for next week:", read_csv("sales.txt", header=None)[0].mean())
