from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.models import ExerciseReport, ExerciseStatus
from grader.reports.text import cells, class_lines, plain, report_lines, table_lines
from tests import reports


def told(*exercises: ExerciseReport, width: int = 80) -> str:
    return plain(report_lines(reports.report_of("amira", *exercises), width))


def test_a_failed_check_tells_all_that_is_needed_to_fix_it() -> None:
    assert (
        told(reports.failed_exercise())
        == """\
3.1.4  Pass the weeks as arguments                                        3 / 10

  ✓ passed      The Dockerfile builds                                      2 / 2
  ✗ failed      docker run sales-predictor 100 120 110 predicts 110        0 / 4
    The container did not start. The image has a CMD (python
    /app/sales_predictor.py) but no ENTRYPOINT, so Docker replaced the whole CMD
    by the arguments and tried to execute a program called 100.

    Expected  the script runs and receives 100 120 110 as its arguments
    Actual    Docker executed: 100 120 110
              exec: "100": executable file not found in $PATH
    Ended     not started
    Where     Dockerfile:6

    Hint: Arguments behind the image's name replace CMD, but they are appended
    to ENTRYPOINT. Which of the two should hold the command that always runs?

    Try it:
    docker build -q -t sales-predictor . && docker run --rm sales-predictor 100 120 110

  · blocked     Three more lists of weeks are predicted right              0 / 3
    needs "docker run sales-predictor 100 120 110 predicts 110"
  ✓ passed      Without arguments it prints Usage and exits 1              1 / 1

Fix the first failed check, then run `grader check` again.
Docker Engine 26.1.5 (private), builder buildkit · python:3.9-slim: built here
from Debian bullseye · seed 20231123
"""
    )


@pytest.mark.parametrize("width", [40, 50, 80, 120])
def test_a_command_to_paste_is_never_broken(width: int) -> None:
    command = reports.failed_check().reproduce
    assert f"\n    {command}\n" in told(reports.failed_exercise(), width=width)


def test_a_command_of_several_lines_is_not_indented() -> None:
    command = "docker run -i image <<EOF\n100\nEOF"
    check = replace(reports.failed_check(), reproduce=command)
    assert f"\n{command}\n" in told(replace(reports.failed_exercise(), checks=(check,)))


def test_what_goes_on_from_an_indented_line_of_a_log_stays_under_it() -> None:
    check = replace(reports.failed_check(), message="Its output:\n    " + "word " * 20)
    lines = told(replace(reports.failed_exercise(), checks=(check,)), width=60).splitlines()
    assert [line[:12] for line in lines if "word word" in line] == ["        word"] * 2


def test_not_graded_is_told_as_not_the_students_fault_and_has_no_score() -> None:
    text = told(reports.ungraded_exercise())
    assert "It is not your fault" in text
    assert "– / 10" in text
    assert "– / 2" in text


@pytest.mark.parametrize(
    ("exercises", "advice"),
    [
        ([reports.passed_exercise()], "Full marks."),
        ([reports.failed_exercise(), reports.rejected_exercise()], "Fix the first failed check"),
        ([reports.passed_exercise(), reports.rejected_exercise()], "Change what the message above names"),
        ([reports.passed_exercise(), reports.missing_exercise()], "`grader start ID`"),
        ([reports.passed_exercise(), reports.ungraded_exercise()], "nothing for you to fix"),
        ([], "no exercise"),
    ],
)
def test_the_end_says_what_to_do_next(exercises: list[ExerciseReport], advice: str) -> None:
    assert advice in told(*exercises)


def test_several_exercises_end_in_a_summary_with_the_total() -> None:
    summary = plain(report_lines(reports.every_status())).partition("Summary\n")[2]
    assert [line.split()[0] for line in summary.splitlines()[:6]] == [
        "3.1.1",
        "3.1.3",
        "3.1.4",
        "3.1.5",
        "3.2.1",
        "3.2.2",
    ]
    assert "Total" + "23 / 50".rjust(73) in summary
    assert "Summary" not in told(reports.passed_exercise())


def test_each_status_of_an_exercise_stands_in_the_text_as_a_word() -> None:
    text = plain(report_lines(reports.every_status()))
    assert [status for status in ExerciseStatus if status.replace("_", " ") not in text] == []


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
    shown = plain((*report_lines(report, width), *class_lines([report], width)))
    forbidden = {"Cc", "Cs", "Zl", "Zp"}
    assert {character for character in shown if unicodedata.category(character) in forbidden} <= {"\n"}
    assert "\u202e" not in shown


@given(reports.hostile_text(), st.integers(40, 120))
def test_no_line_but_a_command_is_wider_than_the_terminal(text: str, width: int) -> None:
    for line in report_lines(reports.filled_with(text), width):
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
