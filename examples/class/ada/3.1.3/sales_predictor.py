"""Predict next week's sales from the last three weeks."""

import numpy as np

SALES = [100, 120, 110]


def predict(sales):
    return float(np.mean(sales))


if __name__ == "__main__":
    prediction = predict(SALES)
    print(f"LOG sales={SALES}")
    print(f"LOG prediction={prediction}")
    print(f"Predicted sales for next week: {prediction}")
