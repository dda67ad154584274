import numpy

weeks = [100, 120, 110]
print("Weeks:", *weeks)
print(f"Predicted sales for next week: {numpy.average(weeks):.2f}")
