"""What each check concludes from what was seen, in fake worlds: a function from request to observation."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from grader.grading.exercise import grade_exercise
from grader.models import (
    BuildFailed,
    BuildStep,
    Built,
    CheckStatus,
    CheckVerdict,
    ExerciseReport,
    NotStarted,
    RunOutcome,
    RunRequest,
)
from tests.worlds import Program, case_of, context, image, predictor, printed, probe_words, world

LINE = "Predicted sales for next week: "


def graded(exercise: str, built: Built | BuildFailed, program: Program, **files: bytes) -> ExerciseReport:
    return grade_exercise(context(exercise, {**files} or None), world(built, program))


def statuses(report: ExerciseReport) -> dict[str, str]:
    return {check.id: check.status.value for check in report.checks}


def check(report: ExerciseReport, name: str) -> CheckVerdict:
    return next(verdict for verdict in report.checks if verdict.id == name)


# ── a right submission, and how blocking works ──────────────────────────────────────────


def test_a_right_submission_gets_full_points() -> None:
    report = graded("3.1.4", image(), predictor)
    assert report.status == "passed"
    assert report.score == 10
    assert {verdict.status for verdict in report.checks} == {CheckStatus.PASSED}


def test_what_needs_a_failed_check_is_blocked_and_names_it() -> None:
    report = graded("3.1.1", BuildFailed("boom", line=2), predictor)
    assert report.score == 0
    assert statuses(report) == dict.fromkeys(["script", "python", "numpy", "prints"], "blocked") | {"builds": "failed"}
    assert "The Dockerfile builds" in check(report, "script").message


def test_nothing_is_run_for_blocked_checks() -> None:
    asked: list[RunRequest] = []

    def program(request: RunRequest) -> RunOutcome:
        asked.append(request)
        return printed("hello\n")

    graded("3.1.4", image(), program)
    assert [request for request in asked if not request.replaced and request.entrypoint is None] == []


# ── the build ───────────────────────────────────────────────────────────────────────────


def failed_step(name: str, log: str = "") -> BuildFailed:
    return BuildFailed("exit code: 1", line=2, steps=(BuildStep(name, log=log, error="exit code: 1"),))


@pytest.mark.parametrize(
    ("built", "told"),
    [
        (failed_step("[2/3] RUN pip install nunpy", "ERROR: No matching distribution found for nunpy"), "spelling"),
        (failed_step("[2/3] COPY ../x /app/"), "build context"),
        (failed_step("[2/3] RUN make"), "while the image is being built"),
        (BuildFailed("unknown instruction: FRM", line=1), "misspelt"),
        (BuildFailed("stopped", ended="timed_out", seconds=300), "come to its end"),
        (BuildFailed("no heredoc here", unsupported="heredoc", line=2), "Docker 23"),
    ],
)
def test_a_failed_build_is_explained(built: BuildFailed, told: str) -> None:
    verdict = check(graded("3.1.1", built, predictor), "builds")
    assert verdict.status is CheckStatus.FAILED
    assert told in verdict.hint
    assert verdict.line == built.line
    assert verdict.reproduce == "docker build -t sales-predictor ."


def test_a_misnamed_dockerfile_is_named() -> None:
    report = grade_exercise(context("3.1.1", {"Dockerfile.txt": b"FROM x"}), world(image(), predictor))
    assert "Dockerfile.txt" in check(report, "builds").message
    assert "no extension" in check(report, "builds").hint


def test_a_path_of_the_builder_itself_is_not_shown() -> None:
    mounted = "/var/lib/docker/tmp/buildkit-mount1234567890"
    walk = f"failed to walk {mounted}/src: lstat {mounted}/src/a b.py: no such file or directory"
    built = BuildFailed(
        f"failed to compute cache key: {walk}", line=2, steps=(BuildStep("[2/3] COPY src /app/", error=walk),)
    )
    assert check(graded("3.1.1", built, predictor), "builds").actual == '"src/a b.py" not found in the build context'


# ── the probe ───────────────────────────────────────────────────────────────────────────


def holding_weeks(request: RunRequest) -> RunOutcome:
    return printed(probe_words() if request.replaced else f"{LINE}110.0\n")


def test_an_echo_of_the_answer_is_not_the_script() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed("" if request.entrypoint else f"{LINE}110\n")

    report = graded("3.1.1", image(None, ("echo", f"{LINE}110")), program)
    assert statuses(report) == {"builds": "passed", "script": "failed"} | dict.fromkeys(
        ["python", "numpy", "prints"], "blocked"
    )
    assert "nowhere in the image" in check(report, "script").message


def test_an_image_of_which_no_container_starts_is_not_one_without_the_script() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return RunOutcome(NotStarted("unable to find user nobody-here"))

    verdict = check(graded("3.1.1", image(), program), "script")
    assert verdict.message == "The container did not start: Docker could not execute the image's command."
    assert "unable to find user nobody-here" in verdict.actual


def test_words_without_the_nonce_do_not_count() -> None:
    forged = "grader-probe " + "0" * 64 + ' {"version": "3.9.2"}\n'

    def program(request: RunRequest) -> RunOutcome:
        return printed("0  /app/sales_predictor.py\n" if request.entrypoint else forged)

    assert statuses(graded("3.1.1", image(), program))["script"] == "failed"


def test_a_renamed_copy_is_found_by_its_content() -> None:
    source = b"print('mine')\n"
    digest = "6f23d6a8ed7d8d4b8f9a2a4b5d5c1ce2c4f1a1e0f0f7e9a8c1b2d3e4f5a6b7c8"

    def program(request: RunRequest) -> RunOutcome:
        import hashlib

        if request.entrypoint:
            return printed(f"{hashlib.sha256(source).hexdigest()}  /srv/main.py\n{digest}  /usr/lib/other.py\n")
        return printed(
            probe_words(file="/srv/main.py") if [file.path for file in request.replaced] == ["/srv/main.py"] else ""
        )

    given = context("3.1.1", {"Dockerfile": b"FROM python:3.9\n", "sales_predictor.py": source})
    report = grade_exercise(given, world(image(("python", "/srv/main.py")), program))
    assert statuses(report)["script"] == "passed"


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
        return printed(
            "0  /app/sales_predictor.py\n" if request.entrypoint else "", code=0 if request.entrypoint else 1
        )

    files = {"Dockerfile": b"FROM python:3.9\n", "sales_predictor.py": b"", "start.sh": start.encode()}
    report = grade_exercise(context("3.1.1", files), world(image(None, ("sh", "./start.sh")), program))
    assert ("RUN instruction" in check(report, "script").message) is told


@pytest.mark.parametrize(
    ("words", "failing", "told"),
    [
        ({"version": "3.11.2"}, "python", "Python 3.11.2"),
        ({"version": "3.9.2", "numpy": ""}, "numpy", "cannot import numpy"),
    ],
)
def test_the_probe_tells_python_and_modules(words: dict[str, str], failing: str, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words(**words) if request.replaced else f"{LINE}110\n")

    report = graded("3.1.1", image(), program)
    assert check(report, failing).status is CheckStatus.FAILED
    assert told in check(report, failing).message
    assert check(report, "prints").status is CheckStatus.PASSED


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
        (
            "/app",
            "/application/sales_predictor.py",
            ["python", "../application/sales_predictor.py"],
            {"script-in-workdir"},
        ),
    ],
)
def test_the_working_directory(working_dir: str, file: str, command: list[str], failing: set[str]) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words(file=file, command=command)) if request.replaced else predictor(request)

    report = graded("3.1.5", image(("python", "sales_predictor.py"), working_dir=working_dir), program)
    assert {name for name, status in statuses(report).items() if status == "failed"} == failing


@pytest.mark.parametrize(
    ("built", "dockerfile", "told"),
    [
        (
            image(None, ("python", "sales_predictor.py"), "/app"),
            'FROM x\nCMD ["python", "sales_predictor.py"]\n',
            "The command looks for /app/sales_predictor.py, but in the image the script is /sales_predictor.py.",
        ),
        (
            image(None, ("/bin/sh", "-c", "['python', '/sales_predictor.py']")),
            "FROM x\nCMD ['python', '/sales_predictor.py']\n",
            "does not run sales_predictor.py. The list of CMD is not a valid one, because it has single quotes",
        ),
        (
            image(("/bin/sh", "-c", "[\u201cpython\u201d, \u201c/sales_predictor.py\u201d]")),
            "FROM x\nENTRYPOINT [\u201cpython\u201d, \u201c/sales_predictor.py\u201d]\n",
            "does not run sales_predictor.py. The list of ENTRYPOINT is not a valid one, because it has curly quotes",
        ),
        (
            image(("/start.sh",)),
            'FROM x\nENTRYPOINT ["/start.sh"]\n',
            "does not run sales_predictor.py. start.sh has the line ends of Windows",
        ),
        (
            image(None, ("python3",)),
            'FROM x AS y\nCMD ["python", "/sales_predictor.py"]\nFROM z\n',
            "does not run sales_predictor.py. After FROM, the Dockerfile has neither CMD nor ENTRYPOINT",
        ),
        (
            image(None, ("echo", "110")),
            "FROM x\nCMD echo 110\n",
            "The container's command does not run sales_predictor.py.",
        ),
    ],
)
def test_why_the_script_is_not_what_runs(built: Built, dockerfile: str, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed("0  /sales_predictor.py\n") if request.entrypoint else printed(code=2, stderr="no\n")

    files = {"Dockerfile": dockerfile.encode(), "sales_predictor.py": b"", "start.sh": b"#!/bin/sh\r\n"}
    verdict = check(graded("3.1.1", built, program, **files), "script")
    assert verdict.status is CheckStatus.FAILED
    assert told in verdict.message
    assert "probe" not in f"{verdict.message}{verdict.expected}{verdict.actual}{verdict.reproduce}"
    assert verdict.line == (None if "FROM z" in dockerfile else 2)


def test_what_is_told_of_a_command_is_the_run_that_was_seen() -> None:
    """The second, without the arguments that the first one could not take."""

    def program(request: RunRequest) -> RunOutcome:
        if request.entrypoint:
            return printed("0  /sales_predictor.py\n")
        return RunOutcome(NotStarted("no program 100")) if request.args else printed("hello\n")

    verdict = check(graded("3.1.4", image(None, ("echo", "hello")), program), "script")
    assert verdict.actual == "Docker executed: echo hello\nhello"
    assert "docker run --rm sales-predictor\ndocker inspect" in verdict.reproduce


# ── arguments ───────────────────────────────────────────────────────────────────────────


def only_cmd(request: RunRequest) -> RunOutcome:
    """An image with a CMD alone: any argument is taken for the program to execute."""
    if request.args:
        return RunOutcome(NotStarted('exec: "100": executable file not found in $PATH'))
    return predictor(request)


def test_cmd_instead_of_entrypoint_is_explained() -> None:
    report = graded("3.1.4", image(None, ("python", "/app/sales_predictor.py")), only_cmd)
    assert statuses(report) == {
        "builds": "passed",
        "script": "passed",
        "example": "failed",
        "drawn": "blocked",
        "usage-none": "passed",
        "usage-two": "failed",
    }
    verdict = check(report, "example")
    assert "no ENTRYPOINT" in verdict.message
    assert "ENTRYPOINT" in verdict.hint
    assert verdict.ended == "not_started"
    assert verdict.reproduce == "docker build -q -t sales-predictor .\ndocker run --rm sales-predictor 100 120 110"


@pytest.mark.parametrize(
    "shell", [("/bin/sh", "-c"), ("/bin/bash", "-c"), ("/bin/bash", "-o", "pipefail", "-exc"), ("sh", "-c")]
)
def test_a_shell_form_entrypoint_is_explained(shell: tuple[str, ...]) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words()) if request.replaced else printed("Usage: …\n", code=1)

    dockerfile = b"FROM python:3.9\nENTRYPOINT python /app/sales_predictor.py\n"
    report = graded(
        "3.1.4",
        image((*shell, "python /app/sales_predictor.py")),
        program,
        **{"Dockerfile": dockerfile, "sales_predictor.py": b""},
    )
    verdict = check(report, "example")
    assert verdict.status is CheckStatus.FAILED
    assert "square brackets" in verdict.hint
    assert (verdict.file, verdict.line) == ("Dockerfile", 2)
    assert verdict.expected == "the script gets 100 120 110"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weeks: weeks[0], "the first of the weeks, and the smallest."),
        (lambda weeks: weeks[1], "the largest of the weeks."),
        (lambda weeks: weeks[2], "the last of the weeks, and the median."),
        (sum, "the sum of the weeks."),
    ],
)
def test_all_names_of_a_wrong_number_are_told_if_they_fit(change: Callable[[list[float]], float], told: str) -> None:
    found = context("3.1.4")
    changed = replace(found, cases=tuple(replace(case, weeks=("100", "120", "110.5")) for case in found.cases))
    verdict = check(grade_exercise(changed, world(image(), averaging(change))), "example")
    assert told in verdict.message


@pytest.mark.parametrize("change", [round, int, lambda mean: round(mean, 1)])
def test_that_decimals_were_lost_is_told(change: Callable[[float], float]) -> None:
    program = averaging(lambda weeks: change(sum(weeks) / len(weeks)))
    found = context("3.1.4")
    cases = (case_of(replace(case, weeks=("101", "120", "110.25"))) for case in found.cases)
    changed = replace(found, cases=tuple(cases))
    verdict = check(grade_exercise(changed, world(image(), program)), "example")
    assert verdict.message.endswith("decimals lost.")


def averaging(change: Callable[[list[float]], float]) -> Program:
    def program(request: RunRequest) -> RunOutcome:
        if request.replaced or len(request.args) != 3:
            return predictor(request)
        return printed(f"{LINE}{change([float(week) for week in request.args])}\n")

    return program


@pytest.mark.parametrize(
    ("change", "failing", "told"),
    [
        (lambda weeks: sum(weeks) / 3 + 0.5, "example", "pocket calculator"),
        (lambda weeks: 110, "drawn", "whatever it is given"),
        (lambda weeks: sum(int(week) for week in weeks) / 3, "drawn", "decimals"),
        (lambda weeks: weeks[-1], "drawn", "pocket calculator"),
        (lambda weeks: float("nan"), "example", "pocket calculator"),
    ],
)
def test_wrong_numbers_are_told_apart(change: Callable[[list[float]], float], failing: str, told: str) -> None:
    report = graded("3.1.4", image(), averaging(change))
    assert check(report, failing).status is CheckStatus.FAILED
    assert told in check(report, failing).hint


def test_an_answer_that_changes_from_run_to_run_is_told_as_that() -> None:
    def drifting(request: RunRequest) -> RunOutcome:
        if request.replaced or len(request.args) != 3:
            return predictor(request)
        return printed(f"{LINE}{77 if request.repeat else 73}\n")

    verdict = check(graded("3.1.4", image(), drifting), "example")
    assert verdict.status is CheckStatus.FAILED
    assert "the script prints 77: its answer changes" in verdict.message
    assert "random" in verdict.hint
