"""What the predictor tells about its work."""


def log(what, value):
    print(f"LOG {what:.<20} {value}")
