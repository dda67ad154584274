import time

import numpy as np

time.sleep(0.2)
print(f"Predicted sales for next week: {np.mean([100, 120, 110]):.2f}")
