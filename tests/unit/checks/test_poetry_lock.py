"""What poetry.lock wants installed: groups, markers and extras respected, in new locks and in old ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.checks.poetry_lock import Locked, Unlockable, locked, package_names

PROJECT = b'[tool.poetry.dependencies]\npython = "^3.9"\nnumpy = "^1.26"\npandas = {version = "*", optional = true}\n'
PROJECT_621 = b'[project]\nname = "x"\ndependencies = ["numpy (>=1.26,<2)"]\n'


def package(name: str, version: str = "1", **more: str) -> str:
    return "\n".join(
        [f'[[package]]\nname = "{name}"\nversion = "{version}"', *(f"{key} = {value}" for key, value in more.items())]
    )


def names(lock: str, project: bytes = PROJECT, python: str = "3.9.2") -> list[str]:
    found = locked(lock.encode(), project, python)
    assert not isinstance(found, Unlockable)
    return [one.name for one in found]


def test_groups_of_a_new_lock() -> None:
    lock = "\n".join(
        [
            package("NumPy", "1.26.4", groups='["main"]'),
            package("pytest", groups='["dev"]'),
            package("six", groups='["main", "dev"]'),
        ]
    )
    assert locked(lock.encode(), PROJECT, "3.9.2") == (Locked("numpy", ("1.26.4",)), Locked("six", ("1",)))


@pytest.mark.parametrize(
    ("marker", "python", "wanted"),
    [
        ('"python_version < \\"3.11\\""', "3.9.2", True),
        ('"python_version < \\"3.11\\""', "3.11.2", False),
        ('"sys_platform == \\"win32\\""', "3.9.2", False),
        ('{main = "python_version >= \\"3.9\\"", dev = "python_version < \\"3\\""}', "3.9.2", True),
        ('"not a marker"', "3.9.2", True),
    ],
)
def test_markers_of_a_new_lock(marker: str, python: str, wanted: bool) -> None:
    lock = package("tomli", groups='["main"]', markers=marker)
    assert names(lock, python=python) == (["tomli"] if wanted else [])


def test_extras_are_not_wanted() -> None:
    assert names(package("pandas", groups='["main"]', optional="true")) == []


@pytest.mark.parametrize("project", [PROJECT, PROJECT_621])
def test_an_old_lock_is_followed_from_the_project(project: bytes) -> None:
    lock = "\n".join(
        [
            package("numpy") + "\n[package.dependencies]",
            'six = "*"',
            'colorama = {version = "*", markers = "sys_platform == \\"win32\\""}',
            'extra = {version = "*", optional = true}',
            package("six"), package("colorama"), package("extra"), package("pytest"),
        ]
    )  # fmt: skip
    assert names(lock, project) == ["numpy", "six"]


@pytest.mark.parametrize(
    ("lock", "file"),
    [
        (b"[[", "poetry.lock"),
        (b"", "poetry.lock"),
        (b"\xff", "poetry.lock"),
        (b"package = 5", "poetry.lock"),
        (b"[[package]]\ngroups = 5", "poetry.lock"),
        (b"x = " + b"9" * 10_000, "poetry.lock"),
        (b"x = " + b"[" * 99_999, "poetry.lock"),
    ],
)
def test_a_damaged_lock_is_told(lock: bytes, file: str) -> None:
    found = locked(lock, PROJECT, "3.9.2")
    assert isinstance(found, Unlockable)
    assert found.file == file


def test_all_names_of_a_lock() -> None:
    assert package_names(package("Foo_Bar").encode()) == {"foo-bar"}


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_any_bytes_give_an_answer(lock: bytes, project: bytes) -> None:
    locked(lock, project, "3.9.2")
    package_names(lock)


TWICE = "\n".join(
    [
        package("attrs", "23.1.0", **{"python-versions": '">=3.7"'}),
        package("attrs", "24.3.0", **{"python-versions": '">=3.8"'}),
        package("numpy", "1.26.4", **{"python-versions": '">=3.9"'}) + '\n[package.dependencies]\nsix = "<2"',
        package("numpy", "2.1.3", **{"python-versions": '">=3.10"'}),
        package("six", "1.17.0"),
        package("six", "2.0.0"),
    ]
)
PROJECT_TWICE = b"""[tool.poetry.dependencies]
attrs = [{version = "23.1.0", python = "<3.10"}, {version = "^24", python = ">=3.10"}]
numpy = "*"
"""
PROJECT_TWICE_621 = b"""[project]
dependencies = ["attrs (==23.1.0) ; python_version < '3.10'", "attrs>=24; python_version >= '3.10'", "numpy"]
"""


@pytest.mark.parametrize("project", [PROJECT_TWICE, PROJECT_TWICE_621])
@pytest.mark.parametrize(
    ("python", "wanted"),
    [
        ("3.9.2", {"attrs": ("23.1.0", "24.3.0"), "numpy": ("1.26.4",), "six": ("1.17.0", "2.0.0")}),
        ("3.7.2", {"attrs": ("23.1.0",), "six": ("1.17.0", "2.0.0")}),
    ],
)
def test_of_several_versions_in_an_old_lock_those_for_this_python(
    project: bytes, python: str, wanted: dict[str, tuple[str, ...]]
) -> None:
    assert locked(TWICE.encode(), project, python) == tuple(Locked(*one) for one in wanted.items())


@pytest.mark.parametrize(
    ("constraint", "python", "wanted"),
    [
        ("*", "3.9.2", True), ("^3.8", "3.9.2", True), ("^3.10", "3.9.2", False), ("~3.9", "3.9.2", True),
        ("~3.8", "3.9.2", False), (">=3.8,<3.12", "3.9.2", True), ("3.8.* || 3.9.*", "3.9.2", True),
        ("!=3.9.2", "3.9.2", False), ("<3.9", "3.9.2", False), ("= 3.9.2", "3.9.2", True), ("latest", "3.9.2", True),
    ],
)  # fmt: skip
def test_constraints_on_python(constraint: str, python: str, wanted: bool) -> None:
    project = f'[tool.poetry.dependencies]\nsix = {{version = "*", python = "{constraint}"}}\n'.encode()
    assert names(package("six"), project, python) == (["six"] if wanted else [])


def test_a_direct_dependency_for_another_python_or_system_is_not_wanted() -> None:
    project = b"""[tool.poetry.dependencies]
numpy = "*"
tomli = {version = "*", python = "<3.11"}
colorama = {version = "*", platform = "win32"}
six = {version = "*", markers = "sys_platform == 'win32'"}
"""
    lock = "\n".join(package(name) for name in ("numpy", "tomli", "colorama", "six"))
    assert names(lock, project, "3.9.2") == ["numpy", "tomli"]
    assert names(lock, project, "3.11.2") == ["numpy"]
