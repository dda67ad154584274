"""Build hook: ships this repository's course inside the wheel, as ``grader/_course/``."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COURSE = ("exercises.yaml", "starter", "reference", "docs/handbook")
CACHES = frozenset({"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"})


class CourseHook(BuildHookInterface[Any]):
    """Adds the course's files to a wheel; an editable installation reads them where they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fill ``force_include`` with {path in the repository: path in the wheel}, for a wheel that is not editable.

        Raises:
            FileNotFoundError: a part of the course is not there.
        """
        if version != "editable":
            build_data["force_include"].update(course_files(Path(self.root)))


def course_files(root: Path) -> dict[str, str]:
    """Return {absolute path: path in the wheel} of every file of the course under ``root``, without caches."""
    found: dict[str, str] = {}
    for name in COURSE:
        start = root / name
        if not start.exists():
            raise FileNotFoundError(f"{start}: a wheel needs {', '.join(COURSE)} of the course, and this is missing")
        files = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
        for path in files:
            relative = path.relative_to(root)
            if CACHES.isdisjoint(relative.parts):
                found[str(path)] = f"grader/_course/{relative.as_posix()}"
    return found
