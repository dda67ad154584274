from os import getenv

import predictors


def weeks():
    with open(getenv("SALES_FILE", "sales.txt")) as file:
        for line in file:
            if line := line.strip():
                yield float(line)


wanted = getenv("PREDICTION_TYPE", default="average")
predict = getattr(predictors, wanted, None)
if wanted.startswith("_") or predict is None:
    raise SystemExit(f"There is no prediction type named {wanted!r}.")
print(f"Predicted sales for next week: {predict(list(weeks())):.2f}")
