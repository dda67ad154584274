import sys
assert len(sys.argv) == 4, "Usage: sales_predictor.py w1 w2 w3"
print("Predicted sales for next week:", sum(map(float, sys.argv[1:]))/3)
