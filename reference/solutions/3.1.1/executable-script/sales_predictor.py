#!/usr/bin/env python
sales = [100, 120, 110]
total = 0
for week in sales:
    total += week
print("Predicted sales for next week: " + str(total / 3))
