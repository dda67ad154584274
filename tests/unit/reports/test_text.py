from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.models import ExerciseReport, ExerciseStatus
from grader.reports.text import TextOptions, cells, class_lines, hint_steps, plain, report_lines, table_lines
from tests import reports

DOCKERFILE = (
    "FROM python:3.9-slim", "RUN pip install numpy", "RUN pip install nunpy", "WORKDIR /app",
    "COPY sales_predictor.py .", 'CMD ["python", "/app/sales_predictor.py"]',
)  # fmt: skip


def shown(*exercises: ExerciseReport, **options: Any) -> str:
    given = TextOptions(
        source=lambda _exercise, _file, line: DOCKERFILE[line - 1], then="`grader start 3.1.5` comes next.", **options
    )
    return plain(report_lines(reports.report_of("amira", *exercises), given))


def with_check(**changes: Any) -> ExerciseReport:
    """One exercise with one failed check."""
    bare = dict.fromkeys(("message", "hint", "expected", "actual", "ended", "reproduce", "file"), "")
    check = replace(reports.failed_check(), **{**bare, "line": None, **changes})
    return replace(reports.failed_exercise(), checks=(check,))


def test_the_first_failure_has_all_that_is_needed_to_fix_it_on_one_screen() -> None:
    first, (second, *others) = reports.failed_exercise(), reports.failed_exercise().checks[1:]
    exercise = replace(first, checks=(first.checks[0], replace(second, reason="cmd_replaced"), *others))
    assert (
        shown(exercise)
        == """\
3.1.4  Pass the weeks as arguments                                        3 / 10
✗ docker run sales-predictor 100 120 110 predicts 110                       D104
  The container did not start. The image has a CMD (python
  /app/sales_predictor.py) but no ENTRYPOINT, so Docker replaced the whole CMD
  by the arguments and tried to execute a program called 100.

  Dockerfile:6 │ CMD ["python", "/app/sales_predictor.py"]
               │ ^^^
  Expected  the script runs and receives 100 120 110 as its arguments
  Actual    Docker executed: 100 120 110
            exec: "100": executable file not found in $PATH

  Hint: Arguments behind the image's name replace CMD, but they are appended to
  ENTRYPOINT. Which of the two should hold the command that always runs? (More:
  --hint)
  Try it:
  docker build -q -t sales-predictor . && docker run --rm sales-predictor 100 120 110

✓ 2 passed: The Dockerfile builds · Without arguments it prints Usage and exits…
1 check waits for this one: `grader check --all` shows everything
Next: fix Dockerfile:6, then run `grader check` again.
"""
    )


PASSED, FAILED, *OTHERS = reports.failed_exercise().checks
AGAIN = replace(FAILED, id="drawn", message="Another effect of it.")
ELSEWHERE = replace(AGAIN, line=5, message="Something else.")
ONE_CAUSE = replace(reports.failed_exercise(), checks=(PASSED, FAILED, AGAIN, ELSEWHERE, *OTHERS))
QUOTED = {
    "message": "Python says: KeyError: 'A'",
    "actual": "(stderr) Traceback (most recent call last):\n(stderr) KeyError: 'A'",
    "ended": "exited 1",
}
UNSEEN = replace(
    reports.blocked_check(), title="commands.sh runs", message="Not checked: there is no commands.sh. Hand one in"
)
NOTED = replace(PASSED, message="Note: two names of one image.")
LOG = {"message": "\n".join(f"line {number}" for number in range(60)), "actual": "x\n" * 50}


@pytest.mark.parametrize(
    ("exercise", "everything", "there", "absent"),
    [
        (ONE_CAUSE, False, "1 more failed, 2 checks wait for this one", "Another effect"),
        (ONE_CAUSE, True, "The cause is that of the failure above, in Dockerfile:6.", "Another effect"),
        (ONE_CAUSE, True, "Something else.", ""),
        (with_check(**QUOTED), False, "KeyError", "Traceback"),
        (with_check(**QUOTED), False, "KeyError", "Ended"),
        (with_check(**QUOTED), True, "Traceback (most recent call last):", ""),
        (with_check(**QUOTED), True, "Ended     exited 1", ""),
        (with_check(**{**QUOTED, "message": "Python failed."}), False, "Traceback", ""),
        (
            replace(reports.failed_exercise(), checks=(UNSEEN, reports.blocked_check())),
            False,
            "· commands.sh runs\n  Not checked: there is no commands.sh. Hand one in\n1 check waits",
            "",
        ),
        (
            replace(reports.failed_exercise(), checks=(NOTED, replace(NOTED, message="In 6 steps."))),
            False,
            "\n  Note: two names of one image.\n",
            "6 steps",
        ),
        (with_check(**LOG), False, "line 0\n  line 1\n  … 54 lines more: --all\n", "line 30"),
        (with_check(**LOG), False, "line 59\n", ""),
        (with_check(**LOG), True, "line 30\n", ""),
        (with_check(reproduce="docker build .\ndocker run x"), False, "\n  docker build .\n  docker run x\n", ""),
        (with_check(reproduce="docker run -i image <<EOF\n100\nEOF"), False, "\ndocker run -i image <<EOF\n100\n", ""),
        (with_check(reproduce='echo "100\n120" > x'), False, '\necho "100\n120" > x\n', ""),
        (reports.failed_exercise(), True, "failed  0 / 4\n", "seed"),
    ],
)
def test_what_is_shown(exercise: ExerciseReport, everything: bool, there: str, absent: str) -> None:
    text = shown(exercise, everything=everything)
    assert there in text
    assert not absent or absent not in text


def test_a_hint_comes_in_steps() -> None:
    hint = f"A nudge. {'One more sentence that is long. ' * 10}The end."
    check = replace(reports.failed_check(), hint=hint, reason="cmd_replaced")
    nudge, whole, section = hint_steps(check)
    assert len(nudge) < 300
    assert nudge.endswith("sentence that is long. (More: --hint)")
    assert whole == f"Hint: {hint} (More: --hint)"
    assert section == f"Hint: {hint}\nThe handbook explains it: `grader explain D104`"
    assert len(hint_steps(replace(check, hint="Short."))) == 2
    assert hint_steps(replace(check, hint="", reason="")) == [""]


def test_all_shows_each_check_in_order_and_verbose_the_engine() -> None:
    text = shown(reports.failed_exercise(), everything=True, verbose=True)
    assert [line.split()[0] for line in text.splitlines() if line[:1] in {"✓", "✗", "·"}] == ["✓", "✗", "·", "✓"]
    assert text.endswith(
        "Docker Engine 26.1.5 (private), builder buildkit · python:3.9-slim: built here\n"
        "from Debian bullseye · seed 20231123\nNext: fix Dockerfile:6, then run `grader check` again.\n"
    )


@pytest.mark.parametrize(
    ("expected", "actual", "marked"),
    [
        ("110.0", "110.00", "^"),
        ("for next week: 110.0", "for next week:110.0", "^"),
        ("for next week: 110.0", "for next week: 115.5", "^^^"),
        ("110", "3.5", ""),
        ("110.0", "110.0", ""),
        ("a sentence of something", "a sentence of something\nand more", ""),
    ],
)
def test_the_place_where_two_values_differ_is_marked(expected: str, actual: str, marked: str) -> None:
    lines = shown(with_check(expected=expected, actual=actual)).splitlines()
    marks = [line.strip() for line in lines if set(line.strip()) == {"^"}]
    assert marks == ([marked] if marked else [])


def test_the_caret_stands_under_what_the_message_quotes() -> None:
    named = with_check(message='There is no package "nunpy".', file="Dockerfile", line=3)
    lines = shown(named).splitlines()
    at = next(number for number, line in enumerate(lines) if "│ RUN" in line)
    assert lines[at].index("nunpy") == lines[at + 1].index("^^^^^")


def test_what_goes_on_from_an_indented_line_of_a_log_stays_under_it() -> None:
    lines = shown(with_check(message="Its output:\n    " + "word " * 20), width=60).splitlines()
    assert [line[:10] for line in lines if "word word" in line] == ["      word"] * 2


@pytest.mark.parametrize(
    ("exercises", "advice"),
    [
        ([reports.passed_exercise()], "`grader start 3.1.5` comes next."),
        ([reports.passed_exercise(), reports.failed_exercise()], "fix Dockerfile:6, then run"),
        ([with_check()], "fix what is said above, then"),
        ([replace(reports.failed_exercise(), checks=(UNSEEN,))], "see above why “commands.sh runs” was not checked"),
        ([reports.passed_exercise(), reports.rejected_exercise()], "change what the message names, then"),
        ([reports.passed_exercise(), reports.missing_exercise()], "`grader start ID`"),
        ([reports.passed_exercise(), reports.ungraded_exercise()], "nothing for you to fix"),
        ([], "no exercise"),
    ],
)
def test_the_end_says_what_to_do_next(exercises: list[ExerciseReport], advice: str) -> None:
    assert advice in shown(*exercises).partition("Next: ")[2]


def test_several_exercises_end_in_a_summary_with_the_total() -> None:
    summary = shown(*reports.every_status().exercises).partition("Summary\n")[2].splitlines()
    assert [line.split()[0] for line in summary[:4]] == ["3.1.3", "3.1.4", "3.1.5", "3.2.2"]
    assert summary[4:7] == ["  Passed: 3.1.1, 3.3.L", "  Not submitted: 3.2.1", "  Total" + "23 / 50".rjust(73)]
    whole = shown(*reports.every_status().exercises, everything=True)
    assert [status for status in ExerciseStatus if status.replace("_", " ") not in whole] == []
    many = shown(*(replace(reports.failed_exercise(), id=f"3.1.{number}") for number in range(17)))
    assert many.count("\n") <= 40
    assert "  … 7 more: --all\n" in many


def test_a_class_is_a_table_with_one_line_a_student() -> None:
    lines = plain(class_lines(reports.sample_class())).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["Student", "3.1.1", "3.1.3", "3.1.4", "3.1.5", "Score"],
        ["amira", "10", "10", "10", "10", "40", "/", "40"],
    ]
    assert [line.split()[-4] for line in lines[2:5]] == ["rejected", "none", "ungraded"]
    assert len({cells(line) for line in lines[:6]}) == 1, "aligned, also where a character is two columns wide"
    assert lines[-2:] == ["Not graded (1), not the students' fault:", "  李雷 3.1.5: The engine stopped answering."]


@given(reports.hostile_text(), st.integers(40, 120))
def test_whatever_students_write_the_terminal_gets_visible_characters_in_its_width(text: str, width: int) -> None:
    report = reports.filled_with(text)
    options = TextOptions(width=width, source=lambda *_: text)
    folded, whole = report_lines(report, options), report_lines(report, replace(options, everything=True))
    shown = plain((*folded, *whole, *class_lines([report], width)))
    forbidden = {"Cc", "Cs", "Zl", "Zp"}
    assert {character for character in shown if unicodedata.category(character) in forbidden} <= {"\n"}
    assert "\u202e" not in shown
    for line in folded:
        if all(style != "command" for style, _ in line):
            assert cells("".join(part for _, part in line)) <= width


def test_a_table_is_aligned_and_never_cut() -> None:
    lines = plain(table_lines(("A", "Bee"), [("x" * 200, "1"), ("\x1b[31m", "宽")])).splitlines()
    assert lines[1] == "x" * 200 + "  1"
    assert [line.index(word) for line, word in zip(lines, ("Bee", "1", "宽"), strict=True)] == [202, 202, 202]
    assert "\x1b" not in lines[2]
    assert [cells(text) for text in ("amira", "李雷", "Bjo\u0308rn", "a\u200cb")] == [5, 4, 5, 2]
