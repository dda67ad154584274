from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from grader.models import CheckVerdict, ExerciseReport, Report
from grader.reports.ci import SUMMARY_LIMIT, annotated, escaped_log, job_summary, workflow_commands
from grader.reports.text import TextOptions, plain, report_lines
from tests import reports

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def in_week_3(exercise: str, file: str, line: int | None) -> tuple[str, int | None]:
    return f"week-3/{exercise}/{file}", line


def commands_of(*exercises: ExerciseReport) -> tuple[str, ...]:
    return workflow_commands(annotated(reports.report_of("amira", *exercises), in_week_3))


def summary_of(check: CheckVerdict) -> str:
    return job_summary(reports.report_of("a", replace(reports.failed_exercise(), checks=(check,))), "Docker")


def test_a_failed_check_marks_the_line_of_the_file() -> None:
    (command,) = commands_of(reports.build_failure())
    head, _, message = command.partition("::The build")
    assert head == (
        "::error file=week-3/3.1.3/Dockerfile,line=3,"
        "title=3.1.3 Log the prediction with one more print%3A The Dockerfile builds"
    )
    assert message.startswith(' stopped at line 3 of the Dockerfile, "RUN pip install nunpy".%0A%0AThe last lines')
    assert message.endswith("%0AHint: " + reports.build_failure().checks[0].hint)


@pytest.mark.parametrize(
    ("exercises", "kinds"),
    [
        ([reports.rejected_exercise(), reports.ungraded_exercise()], ["::error", "::warning"]),
        ([replace(reports.missing_exercise(), id=f"3.{index}") for index in range(12)], ["::notice"]),
        ([replace(reports.ungraded_exercise(), id=f"3.{index}") for index in range(12)], ["::warning"]),
    ],
    ids=["refusal and fault", "absent once", "one cause once"],
)
def test_what_is_marked(exercises: list[ExerciseReport], kinds: list[str]) -> None:
    found = [command.split()[0] for command in commands_of(*exercises)]
    assert [kind for kind in found if kind in kinds][: len(kinds)] == kinds
    assert found.count("::notice") <= 1


def test_the_first_problem_of_each_exercise_comes_before_the_second_of_any() -> None:
    checks = tuple(replace(reports.failed_check(), message=text) for text in "aab")
    twice = replace(reports.failed_exercise(), checks=checks)
    titles = [command.partition("title=")[2][:5] for command in commands_of(twice, replace(twice, id="3.9.9"))]
    assert titles == ["3.1.4", "3.9.9"] * 2


def test_the_summary_has_a_row_for_what_was_handed_in_and_one_line_for_the_rest() -> None:
    absent = [replace(reports.missing_exercise(), id=f"3.8.{index}") for index in range(3)]
    summary = job_summary(reports.report_of("a", reports.failed_exercise(), *absent), "Docker").replace("\\", "")
    assert summary.startswith("# Docker: 3 of ")
    assert "\nNot handed in: 3.8.0, 3.8.1, 3.8.2\n" in summary
    assert summary.count("\n| ❌") == 1


def test_the_summary_shows_text_as_it_was_written() -> None:
    text = r"a_b *c* <b> [x](y) \ | `d` #1 &amp; 1. - + ~~e~~ https://example.org @f!"
    commands = [f"echo '\n{runs}\n# heading'" for runs in ("`", "```", "`````")]
    for command in commands:  # in a fence that is longer than any run of backticks in it
        tokens = MARKDOWN.parse(summary_of(replace(reports.failed_check(), message=text, reproduce=command)))
        shown = ["".join(child.content for child in token.children or ()) for token in tokens if token.type == "inline"]
        assert text in shown
        assert f"{command}\n" in [token.content for token in tokens if token.type == "fence"]


def test_a_summary_is_cut_before_github_drops_it_whole() -> None:
    huge = replace(reports.failed_check(), message="é\n" * 4000, actual="é\n" * 4000, expected="é\n" * 4000)
    report = reports.report_of("a", replace(reports.failed_exercise(), checks=(huge,) * 60))
    summary = job_summary(report, "Docker")
    assert len(summary.encode()) <= SUMMARY_LIMIT
    assert "more characters" in summary
    assert "Next: fix the first failed check, then push again" in summary.replace("\\", "")


def commands_in(log: str) -> list[str]:
    """The lines that GitHub's runner would obey."""
    return [line for line in log.split("\n") if line.lstrip().startswith("::") or "##[" in line]


@given(reports.hostile_text())
def test_whatever_students_write_only_our_own_commands_are_obeyed(text: str) -> None:
    report = reports.filled_with(text)
    commands = workflow_commands(annotated(report, in_week_3))
    assert commands_in("\n".join(commands)) == list(commands)
    assert {command.split()[0] for command in commands} == {"::error", "::warning", "::notice"}
    assert all(len(command.splitlines()) == 1 for command in commands)
    log = escaped_log(text + plain(report_lines(report, TextOptions())), "secret-token")
    assert commands_in(log) == ["::stop-commands::secret-token", "::secret-token::"]


def structure(report: Report) -> list[str]:
    """The kinds of what a summary is made of, inline parts included; how often a paragraph or block comes may vary."""
    tokens = MARKDOWN.parse(job_summary(report, "Docker"))
    inline = {child.type for token in tokens for child in token.children or ()} - {"text", "text_special"}
    return [token.type for token in tokens if token.type.startswith(("heading", "table", "tr", "td"))] + sorted(inline)


@given(reports.hostile_text())
def test_whatever_students_write_the_summary_has_no_markup_of_theirs(text: str) -> None:
    assert structure(reports.filled_with(text)) == structure(reports.filled_with("x"))
