from journal import log
from weeks import LAST_THREE_WEEKS


def predict(weeks):
    return sum(weeks) // len(weeks)


def main():
    prediction = predict(LAST_THREE_WEEKS)
    log("weeks in use", len(LAST_THREE_WEEKS))
    log("prediction", prediction)
    print(f"Predicted sales for next week: {prediction}")


if __name__ == "__main__":
    main()
