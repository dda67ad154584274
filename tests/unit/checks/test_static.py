"""What the files show without an engine, advice, and what is concluded from a build."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from grader.checks import REASONS
from grader.checks.static import Remark, advice, static_findings
from grader.models import BuildFailed, BuildStep, CheckStatus
from tests.worlds import check, context, graded, predictor, statuses

PREDICTOR = {"sales_predictor.py": b"print()\n"}
BASE = "FROM python:3.9-slim\n"
RUNS = 'ENTRYPOINT ["python", "/app/sales_predictor.py"]\n'
COPIED = f"{BASE}COPY sales_predictor.py /app/\n"


def found(exercise: str, dockerfile: str, **files: bytes) -> list[Remark]:
    return static_findings(context(exercise, {"Dockerfile": dockerfile.encode(), **PREDICTOR, **files}))


@pytest.mark.parametrize(
    ("exercise", "dockerfile", "line", "part"),
    [
        ("3.1.1", "FORM python:3.9\n", 1, "Did you mean FROM?"),
        ("3.1.1", "FROM python:latest\n", 1, "This exercise needs Python 3.9: write FROM python:3.9"),
        ("3.1.1", f"{BASE}COPY predictor.py /app/\n{RUNS}", 2, "Did you mean `sales_predictor.py`?"),
        ("3.1.1", f"{BASE}COPY sales_predictor.py\n{RUNS}", 2, "from where and to where"),
        ("3.1.1", f'{COPIED}CMD ["pyhton", "/app/sales_predictor.py"]\n', 3, "Did you mean python?"),
        ("3.1.1", f"{COPIED}CMD ['python', 'a b.py']\n", 3, 'CMD ["python", "a", "b.py"]'),
        ("3.1.1", f"{COPIED}CMD python /app/sale_predictor.py\n", 3, "Did you mean /app/sales_predictor.py?"),
        ("3.1.4", f'{COPIED}CMD ["python", "/app/sales_predictor.py"]\n', 3, "belongs in ENTRYPOINT"),
        ("3.3.L", f"{BASE}COPY . .\nRUN pip install numpy\nCMD python sales_predictor.py\n", 2, "run again"),
    ],
)
def test_a_mistake_in_a_dockerfile_is_found_at_its_line(exercise: str, dockerfile: str, line: int, part: str) -> None:
    (remark,) = [one for one in found(exercise, dockerfile) if one.file == "Dockerfile"]
    assert remark.line == line
    assert part in remark.message


def test_files_that_are_missing_or_cannot_be_read_are_named() -> None:
    (script,) = found("3.1.1", COPIED + RUNS, **{"sales_predictor.py": b"import sys\nif True\n    pass\n"})
    assert (script.file, script.line) == ("sales_predictor.py", 2)
    (compose,) = found("3.3.3", COPIED + RUNS, **{"docker-compose.yml": b"services:\n  app:\n    build .\n"})
    assert (compose.file, compose.line) == ("docker-compose.yml", 3)
    # A script may stand in a folder below, from where a Dockerfile copies it; a Dockerfile may not.
    (missing,) = static_findings(context("3.1.1", {"docker/Dockerfile": b"", "src/sales_predictor.py": b""}))
    assert missing.file == "Dockerfile"
    assert "docker/Dockerfile. Move it up" in missing.message


@pytest.mark.parametrize(
    "dockerfile",
    [
        COPIED + RUNS,
        f"{BASE}COPY ./ /app\nCOPY sales_pred*.py /x/\nCOPY /sales_predictor.py ../sales_predictor.py /y/\n{RUNS}",
        f'{BASE}ARG F=x.py\nCOPY $F "sales_predictor.py" /app/\n{RUNS}',
        f"FROM python:3.9 AS a\nCOPY not-there.py /\n{BASE}COPY --from=a /not-there.py /app/\n{RUNS}",
        f"{BASE}COPY <<EOF /app/sales_predictor.py\nprint()\nEOF\n{RUNS}",
        f"{BASE}RUN [ -f /x ] || echo a, b\n{RUNS}",
    ],
)
def test_right_work_is_not_complained_of(dockerfile: str) -> None:
    assert found("3.1.4", dockerfile) == []


@pytest.mark.parametrize(
    ("dockerfile", "parts"),
    [
        ("FROM python\nUSER x\n", ["another image every month"]),
        ("FROM python:3.9\nCMD a\nCMD b\nUSER x\n", ["Only the last CMD"]),
        ("FROM python:3.9\n", ["runs as root"]),
        ("FROM python:3.9\nCOPY . .\nRUN pip install --no-cache-dir x\nUSER x\n", ["stays cached"]),
        ("FROM python:3.9\nRUN pip install x\nUSER x\n", ["--no-cache-dir"]),
        ("FROM python:3.9\nRUN apt-get install -y x\nUSER x\n", ["rm -rf", "--no-install-recommends"]),
        ("FROM python:3.9\nRUN --mount=type=cache,target=/root/.cache pip install x\nUSER x\n", []),
        ("FRM\n", []),
    ],
)
def test_advice(dockerfile: str, parts: list[str]) -> None:
    said = [remark.message for remark in advice(context("3.1.1", {"Dockerfile": dockerfile.encode()}))]
    assert len(said) == len(parts)
    assert all(part in message for part, message in zip(parts, said, strict=True))


def test_what_needs_a_failed_check_is_blocked_and_names_it() -> None:
    report = graded("3.1.1", BuildFailed("boom", line=2), predictor)
    assert report.score == 0
    assert statuses(report) == dict.fromkeys(["script", "python", "numpy", "prints"], "blocked") | {"builds": "failed"}
    assert "The Dockerfile builds" in check(report, "script").message


def failed_step(name: str, log: str = "") -> BuildFailed:
    return BuildFailed("exit code: 1", line=2, steps=(BuildStep(name, log=log, error="exit code: 1"),))


@pytest.mark.parametrize(
    ("built", "hint"),
    [
        (failed_step("[2/3] RUN pip install x9", "No matching distribution found for x9"), "letter by letter"),
        (failed_step("[2/3] COPY ../x /app/"), "build context"),
        (failed_step("[2/3] RUN make"), "while the image is being built"),
        (BuildFailed("unknown instruction: FRM", line=1), "misspelt"),
        (BuildFailed("stopped", ended="timed_out", seconds=300), "come to its end"),
        (BuildFailed("no heredoc here", unsupported="heredoc", line=2), "Docker 23"),
    ],
)
def test_a_failed_build_is_explained(built: BuildFailed, hint: str) -> None:
    verdict = check(graded("3.1.1", built, predictor), "builds")
    assert verdict.status is CheckStatus.FAILED
    assert hint in verdict.hint
    assert (verdict.line, verdict.reproduce) == (built.line, "docker build -t sales-predictor .")


def test_the_table_of_mistakes_names_reasons_and_words_that_there_are() -> None:
    table = yaml.safe_load(resources.files("grader.checks").joinpath("causes.yaml").read_text(encoding="utf-8"))
    rows = [row for section, rows in table.items() if section != "words" for row in rows]
    assert {row["reason"] for row in rows if "reason" in row} <= set(REASONS)
    assert {row["near"] for row in rows if "near" in row} - {"files"} <= set(table["words"])
