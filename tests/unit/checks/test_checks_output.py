"""Checks of what a run prints, and what is told where it is not the line."""

from dataclasses import replace

import pytest

from grader.models import CheckStatus, NotStarted, OutOfMemory, OutputLimit, RunOutcome, RunRequest, TimedOut
from tests.unit.checks.test_checks import LINE, check, graded, statuses
from tests.worlds import image, predictor, printed, probe_words


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (printed(stderr=f"{LINE}110\n"), "standard error"),
        (printed("110\n"), "has the form"),
        (printed(f"{LINE}[110.]\n"), "only a number, but there is: [110.]"),
        (printed(f"{LINE}np.float64(110.0)\n"), "only a number, but there is: np.float64(110.0)"),
        (printed(f"{LINE}\n110\n"), "there is nothing"),
        (
            printed("Predicted Sales for next week : 110\n"),
            "differs in its letters, capital or small, or in its blanks",
        ),
        (printed(f"{LINE}110\n", code=3), "exit code is 3"),
        (printed(code=1, stderr="Traceback …\nModuleNotFoundError: No module named 'numpy'\n"), "No module named"),
        (printed(code=1, stderr="Traceback …\nEOFError: EOF when reading a line\n"), "keyboard input"),
        (
            printed(code=1, stderr='  File "x"\n    print("a"\nSyntaxError: never closed\n'),
            "Python says: SyntaxError: nev",
        ),
        (printed("no such type: best\n", code=2), "It says: no such type: best"),
        (printed(code=2, stderr="python: can't open file 'x'\n"), "It says: python: can't open file"),
        (printed(f"{LINE}110\n", code=1, stderr="Traceback …\nTypeError: no\n"), "Python says: TypeError: no"),
        (RunOutcome(TimedOut(10)), "still running after 10 seconds"),
        (RunOutcome(OutOfMemory(512 * 2**20)), "512 MiB"),
        (RunOutcome(OutputLimit(2**20), b"y\n" * 99), "1024 KiB"),
        (RunOutcome(NotStarted("permission denied")), "could not execute"),
    ],
)
def test_what_a_run_did_instead_is_told(outcome: RunOutcome, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words()) if request.replaced else outcome

    verdict = check(graded("3.1.1", image(), program), "prints")
    assert verdict.status is CheckStatus.FAILED
    assert told in verdict.message
    assert verdict.hint
    assert verdict.reproduce.startswith("docker build -q -t sales-predictor .\ndocker run")


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (printed("no such type: best\n", code=2), "on purpose"),
        (printed(code=1, stderr="  x\nSyntaxError: never closed\n"), "stopped with an error"),
        (printed(f"{LINE}110\n", code=1, stderr="Traceback …\nTypeError: no\n"), "stopped with an error"),
        (printed(code=2, stderr="/usr/bin/python3: can't open file 'x'\n"), "word for word"),
        (printed("Segmentation fault\n", code=139), "word for word"),
        (printed(code=1), "word for word"),
    ],
)
def test_a_script_that_gave_up_is_told_from_one_that_crashed(outcome: RunOutcome, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words()) if request.replaced else outcome

    assert told in check(graded("3.1.1", image(), program), "prints").hint


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (f"{LINE}110.0\nlogged 110\n", "passed"),
        (f"LOG prediction=110.00\n{LINE}110.0\n", "passed"),
        (f"{LINE}110.0\n{LINE}110.0\n", "passed"),
        (f"{LINE}110.0\n", "failed"),
        (f"weeks [100, 120, 110]\n{LINE}110.0\n", "failed"),
        (f"logged 100\n{LINE}110.0\n", "failed"),
    ],
)
def test_one_more_line_carries_the_prediction(output: str, status: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words() if request.replaced else output)

    assert statuses(graded("3.1.3", image(), program))["logs"] == status


def test_a_log_line_on_stderr_counts() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words() if request.replaced else f"{LINE}110\n", stderr="INFO 110.0\n")

    assert statuses(graded("3.1.3", image(), program))["logs"] == "passed"


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        ("three weeks, please\n", 1, "no line of the output contains the word usage."),
        ("usage: x\n", 1, ""),
        ("USAGE\n", 2, ""),
        ("Usage: x\n", 0, "the exit code is 0; it has to be any but 0."),
    ],
)
def test_usage_word_and_exit_code(output: str, code: int, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(output, code) if not request.args else predictor(request)

    verdict = check(graded("3.1.4", image(), program), "usage-none")
    assert verdict.message.endswith(told)
    assert bool(verdict.message) == bool(told)


def test_weeks_that_the_command_brings_along_are_the_dockerfiles_fault() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return predictor(request if request.args or request.replaced else replace(request, args=("1", "2", "3")))

    built = image(("python", "/app/sales_predictor.py"), ("1", "2", "3"))
    verdict = check(graded("3.1.4", built, program), "usage-none")
    assert verdict.message == "With no argument, the script got those of CMD, 1 2 3, and predicted from them."
    assert verdict.file == "Dockerfile"
    assert check(graded("3.1.4", image(), program), "usage-none").message.endswith("the word usage.")


@pytest.mark.parametrize("word", ["$@", "${@}", "$*", "$1"])
def test_a_name_that_only_a_shell_would_replace(word: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        error = f"Traceback …\nValueError: could not convert string to float: '{word}'\n"
        return predictor(request) if request.replaced or len(request.args) < 3 else printed(code=1, stderr=error)

    verdict = check(graded("3.1.4", image(("python", "/app/sales_predictor.py", word)), program), "example")
    assert f"No shell reads the list of ENTRYPOINT, so {word} is not replaced." in verdict.message
    verdict = check(graded("3.1.4", image(("sh", "-c", "python /app/sales_predictor.py $@", word)), program), "example")
    assert "ValueError" in verdict.message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"INFO:root:{LINE}110.0", "Before it, on the same line, there is: INFO:root:"),
        (f"{LINE}110.0 units", "After the number, on the same line, there is: units"),
        (f"{LINE}110.0 (log: 110.0)", "After the number, on the same line, there is: (log: 110.0)"),
        (f"{LINE}110,0", "110,0 has a comma in it, at which programs stop reading: write a point in its place."),
        (f"{LINE}np.float64(110.0)", "only a number, but there is: np.float64(110.0)"),
        (f"{LINE}330/3", "only a number, but there is: 330/3"),
        (f"{LINE}[110.0]", "only a number, but there is: [110.0]"),
        (f"{LINE}$110.0", "only a number, but there is: $110.0"),
        (f"{LINE}{'x' * 99}", f"only a number, but there is: {'x' * 60}…"),
        (f"{LINE}0    110.0", "column of pandas was printed: 0    110.0. Take the one number out of it."),
        (LINE, "After the colon there is nothing; the number belongs on the same line."),
        (f"{LINE}<bound method Series.mean of 0    100.0", "a method that was not called: () is missing."),
        ("Predicted sales for next week 110.0", "The colon after the words is missing."),
        (
            "Predicted Sales for Next Week: 110.0",
            "Predicted Sales for Next Week: differs in its letters, capital or small, or in its blanks.",
        ),
        ("The answer is 110.0", "Predicted sales for next week: <number>"),
    ],
)
def test_a_line_that_comes_near_is_told_what_keeps_it_away(line: str, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words() if request.replaced else f"hello\n{line}\nbye\n")

    verdict = check(graded("3.1.1", image(), program), "prints")
    assert verdict.status is CheckStatus.FAILED
    assert verdict.message.endswith(told)


@pytest.mark.parametrize(("working_dir", "told"), [("", "which is / here"), ("/app", "which is /app here")])
def test_a_file_that_is_not_where_the_script_was_started(working_dir: str, told: str) -> None:
    error = "Traceback …\nFileNotFoundError: [Errno 2] No such file or directory: 'sales.txt'\n"

    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words()) if request.replaced else printed(code=1, stderr=error)

    verdict = check(graded("3.1.1", image(working_dir=working_dir), program), "prints")
    assert told in verdict.message


def test_a_script_that_may_not_be_read() -> None:
    said = "python: can't open file '/app/sales_predictor.py': [Errno 13] Permission denied\n"

    def program(request: RunRequest) -> RunOutcome:
        return printed(probe_words()) if request.replaced else printed(code=2, stderr=said)

    verdict = check(graded("3.1.1", image(), program), "prints")
    assert "may read it" in verdict.hint
    assert "Permission denied" in verdict.message


def test_a_usage_that_the_command_kept_from_the_script_is_the_dockerfiles_fault() -> None:
    def program(request: RunRequest) -> RunOutcome:
        if request.replaced:
            return printed(probe_words())
        return printed(code=2, stderr="python: can't open file '/100'\n") if request.args else predictor(request)

    built = image(("python",), ("/app/sales_predictor.py",))
    verdict = check(graded("3.1.4", built, program), "usage-two")
    assert verdict.message == "The arguments replaced CMD, which named the script. Docker executed: python 100 120"
    assert verdict.file == "Dockerfile"
