import numpy as np

prediction = np.loadtxt("/app/sales.txt").mean()
with open("/app/output/prediction.txt", "w") as file:
    print(prediction, file=file)
print("Predicted sales for next week:", prediction)
