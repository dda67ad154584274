"""Reading a student's Python: imports under any name, uses through helpers, means of the library's own objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    "source",
    [
        "import pandas as pd\nprint(pd.Series([1, 2]).mean())",
        "import pandas\ndf = pandas.DataFrame({'a': [1]})\nprint(df['a'].mean())",
        "from pandas import Series as S\ns = S([1])\nprint(s.agg('mean'))",
        "from pandas import read_csv\nprint(read_csv('x', header=None)[0].describe()['mean'])",
        "import pandas as pd\ndef load():\n    return pd.read_csv('x')\nprint(load().x.mean())",
        "import pandas as pd\ndef average(sales):\n    return sales.mean()\nprint(average(pd.Series([1])))",
        "import pandas as p\nclass A:\n def __init__(self):\n  self.d = p.Series([1])\n def f(self):\n  self.d.mean()",
        "import pandas as pd\nif (s := pd.Series([1])).any():\n    print((s * 2).mean())",
        "import pandas as pd\ns: pd.Series = pd.Series([1])\nprint(s.aggregate(func='mean'))",
        "from pandas import *\nprint(DataFrame([1], columns=['s']).s.mean())",
        "from pandas import *\nfrom sys import *\ns = read_csv(argv[1])[0]\nprint(s.mean())",
        "import pandas as pd\nprint(getattr(pd.Series([1]), 'mean')())",
        "import pandas as pd\nprint(pd.Series([1]).pipe(lambda s: s.mean()))",
        "import pandas as pd\naverage = lambda s: s.mean()\nprint(average(pd.Series([1])))",
        "import pandas as pd\naverage = lambda s: s.mean()\nprint(pd.Series([1]).pipe(average))",
        "import pandas as pd\ndef average(s):\n    return s.mean()\nprint(pd.DataFrame([1]).apply(average)[0])",
        "import pandas as pd\nimport numpy as np\nprint(pd.Series([1]).agg(np.mean))",
        "import pandas as pd\nprint(pd.DataFrame({'s': [1]}).agg({'s': ['min', pd.Series.mean]}))",
        "import pandas as pd\nprint(pd.Series.mean(pd.Series([1])))",
        "import importlib\npd = importlib.import_module('pandas')\nprint(pd.Series([1]).mean())",
        "pd = __import__('pandas')\nprint(pd.Series([1]).mean())",
    ],
)
def test_a_mean_with_pandas(source: str) -> None:
    uses = found(source)
    assert uses.imported
    assert uses.used
    assert uses.mean


def test_a_mean_in_a_helper_module() -> None:
    assert found(
        "from helper import average\nprint(average())",
        helper="import pandas as pd\ndef average():\n    return pd.Series([1]).mean()",
    ).mean


def test_a_file_that_nothing_imports_does_not_count() -> None:
    assert not found("print(1)", helper="import pandas as pd\nprint(pd.Series([1]).mean())").imported
    assert found("import a", a="from b import c", b="import pandas as pd\nc = pd.Series([1]).mean()").mean


@pytest.mark.parametrize(
    "source",
    [
        "import pandas as pd\nprint(sum([1, 2]) / 2)",
        "import pandas as pd\nimport statistics\nprint(statistics.mean([1]))",
        "import pandas as pd\nimport numpy as np\nprint(np.array(pd.Series([1]).tolist()).mean())",
        "import pandas as pd\nimport numpy as np\nx = pd.Series([1])\nprint(np.mean([1]))",
        "import pandas as pd\nx = pd.Series([1])\nprint(x.values.mean())",
        "import pandas as pd\nx = pd.Series([1])\nprint(x.sum() / len(x))",
        "# import pandas\nprint('pd.Series([1]).mean()')",
        "from pandas import *\ndef DataFrame(x): return x\nprint(DataFrame([1]).mean())",
        "import pandas as pd\nmean = 2\nprint(pd.Series([1]).apply(lambda x: x - mean))",
        "import pandas as pd\nprint(pd.Series([1]).mean)",
        "import importlib\npd = importlib.import_module('numpy')\nprint(pd.array([1]).mean())",
    ],
)
def test_no_mean_with_pandas(source: str) -> None:
    assert not found(source).mean


def test_a_mean_that_is_not_called_is_told_by_its_line() -> None:
    assert found("import pandas as pd\ns = pd.Series([1])\nprint(s.mean)").uncalled == 3
    assert found("import pandas as pd\ns = pd.Series([1])\nprint(s.mean())").uncalled is None


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nprint(1)",
        "from numpy import *\nfrom math import sqrt\ndef f(x):\n    return sqrt(x)\ny = f(4)\nprint(len([y]))",
        "import importlib\nnp = importlib.import_module('numpy')\nprint(1)",
    ],
)
def test_what_is_imported_and_never_used(source: str) -> None:
    uses = found(source, "numpy")
    assert uses.imported
    assert not uses.used
    assert uses.line in {1, 2}


@pytest.mark.parametrize(
    "source",
    [
        "from numpy import *\nprint(polyval(polyfit([0, 1], [1, 2], 1), 2))",
        "import importlib\nnp = importlib.import_module('numpy')\nprint(np.mean([1]))",
        "np = __import__('numpy')\nprint(np.mean([1]))",
    ],
)
def test_what_is_imported_in_an_unusual_way_and_used(source: str) -> None:
    uses = found(source, "numpy")
    assert uses.imported
    assert uses.used
    assert not found(source, "pandas").imported


def test_a_mean_of_what_a_star_brought() -> None:
    assert found("from pandas import *\nprint(Series([1]).mean())").mean
    assert not found("from pandas import *\nimport numpy as np\nprint(np.mean([1]))").mean


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


@given(st.text(max_size=200))
def test_any_text_can_be_looked_at(source: str) -> None:
    found(source)


@pytest.mark.timeout(60)
def test_many_calls_and_functions_are_not_multiplied() -> None:
    assert found("import pandas as pd\n" + "def f(a): return a\n" * 4000 + "f(pd)\n" * 8000).used
