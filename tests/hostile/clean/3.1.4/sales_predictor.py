import sys
from statistics import fmean

from command_line import weeks_from


def main():
    prediction = fmean(weeks_from(sys.argv[1:]))
    if prediction.is_integer():
        prediction = int(prediction)
    print(f"Predicted sales for next week: {prediction}")


if __name__ == "__main__":
    main()
