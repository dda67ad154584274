"""The kinds of check. Each is a generator that asks for observations and returns a finding; it does no I/O itself.

May import `sandbox` and what is below it, for values and pure functions.
Knows no engine, gives no points, prints nothing.

A kind is a frozen dataclass with its parameters and, under `@check_kind`, a function `(check, context)`, beside each
other in a module here; importing the module registers both. Reasons are declared in the module that gives them.
"""

import importlib
import pkgutil

from grader.course.registry import CHECK_KINDS as CHECK_KINDS
from grader.course.registry import REASONS as REASONS

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
