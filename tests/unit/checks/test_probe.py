"""What the probe shows of the process that an image starts, and what is said where it does not run the script."""

from __future__ import annotations

import hashlib

import pytest

from grader.models import Built, CheckStatus, NotStarted, RunOutcome, RunRequest
from tests.worlds import LINE, NONCE, check, graded, image, predictor, printed, probe_words, statuses


def test_an_image_of_which_no_container_starts_is_not_one_without_the_script() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return RunOutcome(NotStarted("unable to find user nobody-here"))

    verdict = check(graded("3.1.1", image(), program), "script")
    assert verdict.message == "The container did not start: Docker could not execute the image's command."
    assert "unable to find user nobody-here" in verdict.actual


@pytest.mark.parametrize(
    "text",
    ['{"version": "3.9.2"}', "[]", "{" * 9, "[5]", '{"version": 1, "executable": 2, "cwd": 3, "file": {}}'],
)
@pytest.mark.parametrize("nonce", ["1" * 32, NONCE], ids=["no nonce", "the nonce, read by the student"])
def test_a_forged_line_of_the_probe_does_not_count(text: str, nonce: str) -> None:
    forged = f"grader-probe {hashlib.sha256((nonce + text).encode()).hexdigest()} {text}\n"

    def program(request: RunRequest) -> RunOutcome:
        return printed("0  /app/sales_predictor.py\n" if request.entrypoint else forged)

    assert statuses(graded("3.1.1", image(), program))["script"] == "failed"


def test_a_renamed_copy_is_found_by_its_content() -> None:
    source = b"print('mine')\n"
    listing = f"{hashlib.sha256(source).hexdigest()}  /srv/main.py\n{'6f' * 32}  /usr/lib/other.py\n"

    def program(request: RunRequest) -> RunOutcome:
        here = [file.path for file in request.replaced] == ["/srv/main.py"]
        return printed(listing if request.entrypoint else probe_words(file="/srv/main.py") if here else "")

    files = {"Dockerfile": b"FROM python:3.9\n", "sales_predictor.py": source}
    assert statuses(graded("3.1.1", image(("python", "/srv/main.py")), program, **files))["script"] == "passed"


def test_a_line_that_something_else_prints_beside_the_script_does_not_count() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed((probe_words() if request.replaced else "") + f"{LINE}110\n")

    report = graded("3.1.1", image(None, ("sh", "-c", f"python sales_predictor.py && echo {LINE}110")), program)
    assert statuses(report)["script"] == "failed"
    assert "something else prints it" in check(report, "script").message
    assert check(report, "script").actual == f"{LINE}110"


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("pip install pandas && python sales_predictor.py", True),
        ("set -e\napt-get -y install python3-pandas\npython sales_predictor.py", True),
        ("# pip install pandas\npyton sales_predictor.py", False),
        ("pip list; pyton sales_predictor.py", False),
        ("pip" + " -pip" * 500_000, False),  # without a bound, hours
        ("pip " + "-a" * 1_000_000, False),
    ],
    ids=["pip", "apt", "a comment", "something else", "many options", "a long one"],
)
def test_a_command_that_installs_when_the_container_starts(start: str, told: bool) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed("0  /app/sales_predictor.py\n") if request.entrypoint else printed(code=1)

    files = {"Dockerfile": b"FROM python:3.9\n", "sales_predictor.py": b"", "start.sh": start.encode()}
    report = graded("3.1.1", image(None, ("sh", "./start.sh")), program, **files)
    assert ("RUN instruction" in check(report, "script").message) is told


@pytest.mark.parametrize(
    ("working_dir", "file", "command", "failing"),
    [
        ("/app", "/app/sales_predictor.py", ["python", "sales_predictor.py"], set()),
        ("/app/", "/app/sales_predictor.py", ["python", "./sales_predictor.py"], set()),
        ("/app", "/app/sales_predictor.py", ["python", "-m", "sales_predictor"], set()),
        ("/app", "/app/src/sales_predictor.py", ["python", "src/sales_predictor.py"], set()),
        ("/app", "/app/sales_predictor.py", ["python", "/app/sales_predictor.py"], {"relative-command"}),
        ("/srv", "/srv/sales_predictor.py", ["python", "sales_predictor.py"], {"workdir", "script-in-workdir"}),
        ("", "/app/sales_predictor.py", ["python", "app/sales_predictor.py"], {"workdir"}),
        ("/app", "/apps/sales_predictor.py", ["python", "../apps/sales_predictor.py"], {"script-in-workdir"}),
    ],
)
def test_the_working_directory(working_dir: str, file: str, command: list[str], failing: set[str]) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words(file=file, command=command)) if request.replaced else predictor(request)

    report = graded("3.1.5", image(("python", "sales_predictor.py"), working_dir=working_dir), program)
    assert {name for name, status in statuses(report).items() if status == "failed"} == failing


NAMED = image(None, ("python", "sales_predictor.py"), "/app")


@pytest.mark.parametrize(
    ("built", "lines", "told"),
    [
        (NAMED, 'CMD ["python", "sales_predictor.py"]', "but in the image the script is /sales_predictor.py."),
        (
            NAMED,
            'CMD ["python", "sales_predictor.py"]\nRUN cd /',
            "A cd ends with the RUN that it is in. WORKDIR / goes",
        ),
        (NAMED, 'CMD ["python", "/sale_predictor.py"]', "Did you mean /sales_predictor.py?"),
        (image(None, ("/bin/sh", "-c", "['python']")), "CMD ['python', 'x.py']", "A list needs double quotes"),
        (image(("/bin/sh", "-c", "[\u201cx\u201d]")), "ENTRYPOINT [\u201cx\u201d]", "The quotes are typographic ones"),
        (image(("/start.sh",)), 'ENTRYPOINT ["/start.sh"]', "start.sh has the line ends of Windows"),
        (image(None, ("python3",)), "FROM python:3.9", "After FROM, the Dockerfile has neither CMD nor ENTRYPOINT"),
        (image(None, ("echo", "110")), "CMD echo 110", "The container's command does not run sales_predictor.py."),
    ],
)
def test_why_the_script_is_not_what_runs(built: Built, lines: str, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed("0  /sales_predictor.py\n") if request.entrypoint else printed(code=2, stderr="no\n")

    dockerfile = f"FROM python:3.9\n{lines}\n".encode()
    files = {"Dockerfile": dockerfile, "sales_predictor.py": b"", "start.sh": b"#!/bin/sh\r\n"}
    verdict = check(graded("3.1.1", built, program, **files), "script")
    assert verdict.status is CheckStatus.FAILED
    assert told in verdict.message
    assert "probe" not in f"{verdict.message}{verdict.expected}{verdict.actual}{verdict.reproduce}"
    assert verdict.line == (None if lines.startswith("FROM") else 2)
