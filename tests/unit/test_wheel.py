"""The wheel is all that users of pipx and uvx have: the command works from it alone, in any folder."""

from __future__ import annotations

import compileall
import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked and compiled, as installers do."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    assert compileall.compile_dir(folder / "site/grader/_course/starter", quiet=2)
    return folder / "site"


def test_the_distribution_has_a_name_of_its_own_and_the_command_is_grader(installed: Path) -> None:
    (facts,) = installed.glob("*.dist-info")
    assert email.message_from_bytes((facts / "METADATA").read_bytes())["Name"] == "docker-exercise-grader"
    assert (facts / "entry_points.txt").read_text() == "[console_scripts]\ngrader = grader.cli.main:main\n"


def test_list_show_and_start_work_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GRADER_COURSE"}
    environment["PYTHONPATH"] = str(installed)

    def grader(*words: str) -> str:
        program = "import sys; from grader.cli.main import main; sys.exit(main())"
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert (installed / "grader/_course/docs/handbook/index.yaml").is_file()
    assert "3.3.L" in grader("list")
    assert "docker run --rm sales-predictor 100 120 110" in grader("show", "3.1.4")
    grader("start", "3.1.4")
    started = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert started == {"3.1.4/Dockerfile", "3.1.4/sales_predictor.py"}
