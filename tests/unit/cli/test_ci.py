"""`grader ci`: what a repository's folders are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.cli.ci import _folders
from grader.submissions.models import ExerciseFiles, Submission


@pytest.mark.parametrize(
    ("folder", "here", "workspace", "named"),
    [
        ("work/3.1.4", ".", "", "work/3.1.4"),
        (".", ".", "", ""),
        (".", "3.1.4", ".", "3.1.4"),
        ("Exercise 3.1.4", "week-3", ".", "week-3/Exercise 3.1.4"),
        ("../3.1.4", "inside", "", "{outside}/3.1.4"),
    ],
)
def test_a_folder_is_named_from_the_root_of_the_repository(
    tmp_path: Path, folder: str, here: str, workspace: str, named: str
) -> None:
    (tmp_path / here).mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / here)
        patch.setenv("GITHUB_WORKSPACE", str(tmp_path / workspace) if workspace else "")
        found = _folders(Submission("me", (ExerciseFiles("3.1.4", folder, (), ""),)))
    assert found == {"3.1.4": named.format(outside=tmp_path)}
