from readers import figures
from statistics import fmean

WEEKS = figures("sales.txt")
print(len(WEEKS), "weeks read")
print("Predicted sales for next week:", fmean(WEEKS))
