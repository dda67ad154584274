import sys
w = [float(x) for x in sys.stdin.read().split()]
print(f"Predicted sales for next week: {sum(w) / len(w)}")
