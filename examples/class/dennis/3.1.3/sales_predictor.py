import time

import numpy

sales = numpy.array([100, 120, 110])
print("Predicted sales for next week:", sales.mean())

# keep the container up so that the log can be watched with docker logs -f
while True:
    print(time.strftime("%H:%M:%S"), "prediction", sales.mean())
    time.sleep(5)
