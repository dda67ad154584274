import numpy

print("Predicted sales for next week:", numpy.loadtxt("sales.txt").mean())
