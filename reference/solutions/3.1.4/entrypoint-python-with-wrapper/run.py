"""Start a script of this folder; arguments that name none go to sales_predictor.py."""

import os
import sys

arguments = sys.argv[1:]
if not arguments or not arguments[0].endswith(".py"):
    arguments.insert(0, "sales_predictor.py")
os.execv(sys.executable, [sys.executable, *arguments])
