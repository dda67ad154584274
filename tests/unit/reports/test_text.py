from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.models import CheckStatus, ExerciseReport, ExerciseStatus
from grader.reports.text import TextOptions, cells, class_lines, hint_steps, plain, report_lines, table_lines
from tests import reports

DOCKERFILE = (
    "FROM python:3.9-slim", "RUN pip install numpy", "RUN pip install nunpy", "WORKDIR /app",
    "COPY sales_predictor.py .", 'CMD ["python", "/app/sales_predictor.py"]',
)  # fmt: skip


def line_of(_exercise: str, _file: str, line: int) -> str:
    return DOCKERFILE[line - 1]


def shown(*exercises: ExerciseReport, width: int = 80, everything: bool = False, verbose: bool = False) -> str:
    options = TextOptions(
        width=width, everything=everything, verbose=verbose, source=line_of, then="`grader start 3.1.5` comes next."
    )
    return plain(report_lines(reports.report_of("amira", *exercises), options))


def with_check(**changes: str) -> ExerciseReport:
    """One exercise with one failed check."""
    given: Any = {"message": "", "hint": "", "expected": "", "actual": "", "ended": "", "reproduce": "", **changes}
    check = replace(reports.failed_check(), file="", line=None, **given)
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


def test_one_cause_is_told_once() -> None:
    passed, first, *others = reports.failed_exercise().checks
    again = replace(first, id="drawn", message="Another effect of it.")
    elsewhere = replace(again, line=5, message="Something else.")
    exercise = replace(reports.failed_exercise(), checks=(passed, first, again, elsewhere, *others))
    assert "1 more failed, 2 checks wait for this one" in shown(exercise)
    whole = shown(exercise, everything=True)
    assert "The cause is that of the failure above, in Dockerfile:6." in whole
    assert "Another effect" not in whole
    assert "Something else." in whole


def test_an_error_that_the_message_quotes_is_not_shown_again() -> None:
    log = "(stderr) Traceback (most recent call last):\n(stderr) KeyError: 'A'"
    text = shown(with_check(message="Python says: KeyError: 'A'", actual=log, ended="exited 1"))
    assert "Traceback" not in text
    assert "Ended" not in text
    whole = shown(with_check(message="Python says: KeyError: 'A'", actual=log, ended="exited 1"), everything=True)
    assert "Traceback" in whole
    assert "Ended     exited 1" in whole
    assert "Traceback" in shown(with_check(message="Python failed.", actual=log))


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


def test_what_could_not_be_seen_is_not_folded_away() -> None:
    why = "Not checked: there is no commands.sh. Hand one in: without it the course gives no points for it."
    unseen = replace(reports.blocked_check(), title="commands.sh runs", message=why)
    exercise = replace(reports.failed_exercise(), checks=(unseen, reports.blocked_check()))
    text = shown(exercise)
    assert "· commands.sh runs\n  Not checked: there is no commands.sh. Hand one in" in text
    assert "1 check waits" in text
    assert text.endswith("Next: see above why “commands.sh runs” was not checked, then run `grader check`\nagain.\n")


def test_a_note_of_a_check_that_passed_is_shown() -> None:
    passed = replace(reports.blocked_check(), status=CheckStatus.PASSED, message="Note: two names of one image.")
    text = shown(replace(reports.failed_exercise(), checks=(passed, replace(passed, message="Built in 6 steps."))))
    assert "\n  Note: two names of one image.\n" in text
    assert "6 steps" not in text


def test_all_shows_each_check_in_order_and_verbose_the_engine() -> None:
    text = shown(reports.failed_exercise(), everything=True, verbose=True)
    assert [line.split()[0] for line in text.splitlines() if line[:1] in {"✓", "✗", "·"}] == ["✓", "✗", "·", "✓"]
    assert "failed  0 / 4\n" in text
    assert text.endswith(
        "Docker Engine 26.1.5 (private), builder buildkit · python:3.9-slim: built here\n"
        "from Debian bullseye · seed 20231123\nNext: fix Dockerfile:6, then run `grader check` again.\n"
    )
    assert "seed" not in shown(reports.failed_exercise(), everything=True)


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
    check = reports.build_failure().checks[0]
    named = replace(check, message='There is no package "nunpy".', line=3)
    lines = shown(replace(reports.build_failure(), checks=(named,))).splitlines()
    at = next(number for number, line in enumerate(lines) if "│ RUN" in line)
    assert lines[at].index("nunpy") == lines[at + 1].index("^^^^^")


def test_a_long_log_keeps_its_beginning_and_its_end() -> None:
    text = shown(with_check(message="\n".join(f"line {number}" for number in range(60)), actual="x\n" * 50))
    assert "line 0\n  line 1\n  … 54 lines more: --all\n" in text
    assert "line 59\n" in text
    assert text.count("\n") <= 20
    assert "line 30\n" in shown(with_check(message="line 30\n" * 60), everything=True)


def test_many_exercises_fit_into_forty_lines() -> None:
    many = [replace(reports.failed_exercise(), id=f"3.1.{number}") for number in range(17)]
    text = shown(*many)
    assert text.count("\n") <= 40
    assert "  … 7 more: --all\n" in text
    assert text.count("✗") == 1


@pytest.mark.parametrize(
    ("command", "indent"),
    [
        ("docker build .\ndocker run x", "  "),
        ("docker run -i image <<EOF\n100\nEOF", ""),
        ('echo "100\n120" > x', ""),
    ],
)
def test_a_command_is_indented_where_that_changes_nothing(command: str, indent: str) -> None:
    text = "\n".join(indent + line for line in command.split("\n"))
    assert f"\n{text}\n" in shown(with_check(reproduce=command))


def test_what_goes_on_from_an_indented_line_of_a_log_stays_under_it() -> None:
    lines = shown(with_check(message="Its output:\n    " + "word " * 20), width=60).splitlines()
    assert [line[:10] for line in lines if "word word" in line] == ["      word"] * 2


@pytest.mark.parametrize(
    ("exercises", "advice"),
    [
        ([reports.passed_exercise()], "`grader start 3.1.5` comes next."),
        ([reports.passed_exercise(), reports.failed_exercise()], "fix Dockerfile:6, then run"),
        ([with_check()], "fix what is said above, then"),
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
    assert "Summary" not in shown(reports.passed_exercise())
    whole = shown(*reports.every_status().exercises, everything=True)
    assert [status for status in ExerciseStatus if status.replace("_", " ") not in whole] == []


def test_a_class_is_a_table_with_one_line_a_student() -> None:
    lines = plain(class_lines(reports.sample_class())).splitlines()
    assert lines[0].split() == ["Student", "3.1.1", "3.1.3", "3.1.4", "3.1.5", "Score"]
    assert lines[1].split() == ["amira", "10", "10", "10", "10", "40", "/", "40"]
    assert lines[2].split()[-4:] == ["rejected", "23", "/", "40"]
    assert lines[3].split()[-4:] == ["none", "13", "/", "40"]
    assert lines[4].split() == ["李雷", "10", "10", "10", "ungraded", "30", "/", "30"]
    assert lines[-2:] == ["Not graded (1), not the students' fault:", "  李雷 3.1.5: The engine stopped answering."]


def test_columns_are_aligned_also_where_a_character_is_two_columns_wide() -> None:
    lines = plain(class_lines(reports.sample_class())).splitlines()[:6]
    assert len({cells(line) for line in lines}) == 1


@given(reports.hostile_text(), st.integers(40, 120))
def test_whatever_students_write_the_terminal_gets_visible_characters_only(text: str, width: int) -> None:
    report = reports.filled_with(text)
    options = TextOptions(width=width, source=lambda *_: text)
    whole = replace(options, everything=True)
    shown = plain((*report_lines(report, options), *report_lines(report, whole), *class_lines([report], width)))
    forbidden = {"Cc", "Cs", "Zl", "Zp"}
    assert {character for character in shown if unicodedata.category(character) in forbidden} <= {"\n"}
    assert "\u202e" not in shown


@given(reports.hostile_text(), st.integers(40, 120))
def test_no_line_but_a_command_is_wider_than_the_terminal(text: str, width: int) -> None:
    for line in report_lines(reports.filled_with(text), TextOptions(width=width, source=lambda *_: text)):
        if all(style != "command" for style, _ in line):
            assert cells("".join(part for _, part in line)) <= width


@pytest.mark.parametrize(
    ("text", "columns"), [("amira", 5), ("李雷", 4), ("Björn", 5), ("Bjo\u0308rn", 5), ("a\u200cb", 2)]
)
def test_text_is_measured_in_columns_of_the_terminal(text: str, columns: int) -> None:
    assert cells(text) == columns


def test_a_table_is_aligned_and_never_cut() -> None:
    lines = plain(table_lines(("A", "Bee"), [("x" * 200, "1"), ("\x1b[31m", "宽")])).splitlines()
    assert lines[1] == "x" * 200 + "  1"
    assert [line.index(word) for line, word in zip(lines, ("Bee", "1", "宽"), strict=True)] == [202, 202, 202]
    assert "\x1b" not in lines[2]
