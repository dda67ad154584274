def figures(path):
    """Every figure of a text file; any white space separates them."""
    with open(path, encoding="ascii") as file:
        return [float(word) for word in file.read().split()]
