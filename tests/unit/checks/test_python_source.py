"""Reading a student's Python: imports under any name, and whether they are used."""

from __future__ import annotations

import pytest

from grader.checks.python_source import Uses, uses_of
from grader.models import MemoryFile
from grader.submissions.models import ExerciseFiles

SCRIPT = "sales_predictor.py"


def found(source: str, module: str = "pandas", **helpers: str) -> Uses:
    files = [
        MemoryFile(SCRIPT, source.encode()),
        *(MemoryFile(f"{name}.py", text.encode()) for name, text in helpers.items()),
    ]
    return uses_of(ExerciseFiles("3.2.2", "folder", tuple(files), "digest"), SCRIPT, module)


@pytest.mark.parametrize(
    ("source", "module", "imported", "used"),
    [
        ("import pandas as pd\nprint(pd.Series([1, 2]).mean())", "pandas", True, True),
        ("import numpy.linalg\nprint(numpy.linalg.det([[1]]))", "numpy", True, True),
        ("from numpy import polyfit as fit\nprint(fit([0, 1], [1, 2], 1))", "numpy", True, True),
        ("from numpy import *\nprint(polyval(polyfit([0, 1], [1, 2], 1), 2))", "numpy", True, True),
        ("import importlib\nnp = importlib.import_module('numpy')\nprint(np.mean([1]))", "numpy", True, True),
        ("np = __import__('numpy')\nprint(np.mean([1]))", "numpy", True, True),
        ("import numpy as np\nprint(1)", "numpy", True, False),
        ("def f():\n    import numpy as np\n    np = 1", "numpy", True, False),
        ("# import pandas\nprint('pd.Series([1]).mean()')", "pandas", False, False),
    ],
)
def test_imports_and_uses(source: str, module: str, imported: bool, used: bool) -> None:
    uses = found(source, module)
    assert (bool(uses.imports), uses.used) == (imported, used)
    assert (uses.line is not None) == imported


@pytest.mark.parametrize(
    ("script", "helpers", "used"),
    [
        ("from helper import f", {"helper": "import pandas as pd\npd.x"}, True),
        ("import a", {"a": "from b import c", "b": "import pandas as pd\npd.x"}, True),
        ("print(1)", {"helper": "import pandas as pd\npd.x"}, False),
        ("import helper", {"helper": "import pandas as"}, False),
    ],
)
def test_modules_beside_the_script_count_if_it_imports_them(script: str, helpers: dict[str, str], used: bool) -> None:
    uses = found(script, **helpers)
    assert uses.used is used
    assert uses.line is None


@pytest.mark.parametrize(
    "source",
    [
        "print 'two'",
        "def",
        "x = '\0'",
        "(" * 5000,
        "x = 1" + " + 1" * 2000,
        "import pandas as pd\npd.mean(" + "1 + " * 500 + "1)",
        "#" * 300_000,
    ],
)
def test_what_cannot_be_read_is_said(source: str) -> None:
    assert found(source).problem
