import numpy as np

sales = [100, 120, 110]
print(f"Predicted sales for next week: {np.mean(sales)}")
