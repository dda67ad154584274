def weeks(argv):
    if len(argv) < 4:
        print("Usage:", argv[0], "week1 week2 week3")
        raise SystemExit(1)
    return [float(word) for word in argv[1:]]
