import numpy

sales = numpy.array([100, 120, 110])
print("Predicted sales for next week:", sales.mean())
