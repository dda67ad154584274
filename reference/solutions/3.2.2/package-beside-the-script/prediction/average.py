from pandas import DataFrame


def average(weeks):
    table = DataFrame([weeks], dtype="float64")
    return float(table.mean(axis="columns").iloc[0])
