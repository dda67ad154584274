from pandas import read_csv


def average(path):
    return read_csv(path, header=None)[0].mean()
