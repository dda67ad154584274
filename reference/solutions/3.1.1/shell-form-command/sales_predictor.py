import sys

import numpy

sales = [100, 120, 110]
next_week = numpy.array(sales).mean()
sys.stdout.write("Predicted sales for next week: %d\n" % next_week)
