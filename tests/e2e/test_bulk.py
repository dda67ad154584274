"""`grader batch` on a bulk download, on a real engine."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Grader

pytestmark = pytest.mark.engine

RIGHT = ROOT / "reference/solutions/3.1.4/entrypoint-with-the-script"


def handed_in(around: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in RIGHT.iterdir():
            archive.write(path, f"{around}{path.name}")
    return packed.getvalue()


def test_a_download_of_moodle(grader: Grader, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
        archive.writestr("Ada King_12_assignsubmission_file_/work.zip", handed_in("3.1.4/"))
        archive.writestr("Eve_13_assignsubmission_file_/work.zip", handed_in()[:200])
    done = grader("batch", "download.zip", "--out", "out", "--exercise", "3.1.4", "--engine", "host")
    assert done.returncode == 0, done.stderr
    assert "Read as a bulk download of Moodle: 2 students." in done.stderr
    with (tmp_path / "out/grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert (rows["Ada King"]["status"], float(rows["Ada King"]["score"])) == ("passed", 10)
    assert rows["Eve"]["status"] == "rejected"
    assert "work.zip: the archive is damaged" in rows["Eve"]["message"]
