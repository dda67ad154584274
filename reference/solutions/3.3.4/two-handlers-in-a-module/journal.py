import logging
import logging.handlers
import pathlib
import sys


def journal(name, folder):
    """A logger that tells everything to a file, and what matters to standard output."""
    screen = logging.StreamHandler(sys.stdout)
    screen.setLevel(logging.INFO)
    path = pathlib.Path(folder, "predictor.log")
    file = logging.handlers.RotatingFileHandler(path, maxBytes=1_000_000, backupCount=3)
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.addHandler(screen)
    logger.addHandler(file)
    return logger
