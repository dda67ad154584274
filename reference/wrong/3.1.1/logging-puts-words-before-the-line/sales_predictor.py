import logging, sys
import numpy as np
logging.basicConfig(stream=sys.stdout, level="INFO")
logging.info("Predicted sales for next week: %s", np.mean([100, 120, 110]))
