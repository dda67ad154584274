import numpy as np

sales = np.loadtxt("/app/sales.txt")
slope, intercept = np.polyfit(range(len(sales)), sales, 1)
print(f"Predicted sales for next week: {slope * len(sales) + intercept}")
