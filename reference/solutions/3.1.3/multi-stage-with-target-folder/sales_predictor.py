import logging
import sys

import numpy

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")

weeks = numpy.array([100.0, 120.0, 110.0])
answer = weeks.mean()
logging.info("mean of %d weeks is %.3f", weeks.size, answer)
print("Predicted sales for next week: %.2f" % answer)
