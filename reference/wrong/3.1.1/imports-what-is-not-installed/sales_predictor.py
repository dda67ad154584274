import numpy as np
import pandas as pd

sales = pd.DataFrame({"sales": np.array([100, 120, 110])})
next_week = sales["sales"].mean()
print(f"Predicted sales for next week: {next_week}")
