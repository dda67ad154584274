class Series(list):
    def mean(self):
        return sum(self) / len(self)
