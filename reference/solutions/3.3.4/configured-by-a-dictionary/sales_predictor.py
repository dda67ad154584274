import logging.config
import os

import numpy as np

os.makedirs(os.path.dirname(os.environ["LOG_FILE"]), exist_ok=True)
logging.config.dictConfig(
    {
        "version": 1,
        "formatters": {"plain": {"format": "{levelname} {message}", "style": "{"}},
        "handlers": {
            "file": {
                "class": "logging.FileHandler",
                "filename": os.environ["LOG_FILE"],
                "mode": "a",
                "formatter": "plain",
            }
        },
        "root": {"level": "DEBUG", "handlers": ["file"]},
    }
)
prediction = float(np.loadtxt("sales.txt").mean())
logging.getLogger("sales").warning(f"prediction={prediction:.4f}")
print("Predicted sales for next week:", prediction)
