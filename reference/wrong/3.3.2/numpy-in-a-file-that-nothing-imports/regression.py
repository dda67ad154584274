import numpy as np


def trend(weeks):
    return np.polyval(np.polyfit(range(len(weeks)), weeks, 1), len(weeks))
