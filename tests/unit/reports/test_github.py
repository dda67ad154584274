from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from grader.models import Report
from grader.reports.github import SUMMARY_LIMIT, escaped_log, job_summary, workflow_commands
from grader.reports.text import TextOptions, plain, report_lines
from tests import reports

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


def test_a_failed_check_marks_the_line_of_the_file() -> None:
    report = reports.report_of("amira", reports.build_failure())
    (command,) = workflow_commands(report, {"3.1.3": "week-3/3.1.3"})
    head, _, message = command.partition("::The build")
    assert head == (
        "::error file=week-3/3.1.3/Dockerfile,line=3,"
        "title=3.1.3 Log the prediction with one more print%3A The Dockerfile builds"
    )
    assert message.startswith(' stopped at line 3 of the Dockerfile, "RUN pip install nunpy".%0A%0AThe last lines')
    assert message.endswith("%0AHint: " + reports.build_failure().checks[0].hint)


def test_without_a_folder_the_file_is_in_the_root() -> None:
    assert workflow_commands(reports.report_of("a", reports.build_failure()))[0].startswith(
        "::error file=Dockerfile,line=3,"
    )


def test_a_refusal_is_an_error_and_a_fault_of_ours_a_warning() -> None:
    report = reports.report_of("a", reports.rejected_exercise(), reports.ungraded_exercise())
    assert [command.split()[0] for command in workflow_commands(report)] == ["::error", "::warning", "::warning"]


def test_what_was_handed_in_is_marked_before_what_was_not() -> None:
    absent = [replace(reports.missing_exercise(), id=f"3.{index}") for index in range(12)]
    commands = workflow_commands(reports.report_of("a", *absent, reports.failed_exercise()))
    assert "title=3.1.4 Pass the weeks" in commands[0]


def test_at_most_ten_errors_and_the_summary_says_that_there_are_more() -> None:
    report = reports.report_of("a", *[replace(reports.failed_exercise(), id=f"3.{index}") for index in range(12)])
    assert len(workflow_commands(report)) == 10
    assert "10 of 12 problems are shown as annotations" in job_summary(report)
    assert job_summary(report).count("\n## ") == 12


@pytest.mark.parametrize("runs", ["`", "```", "`````"])
def test_a_fence_is_longer_than_any_run_of_backticks_in_it(runs: str) -> None:
    check = replace(reports.failed_check(), reproduce=f"echo '\n{runs}\n# heading'")
    tokens = MARKDOWN.parse(job_summary(reports.report_of("a", replace(reports.failed_exercise(), checks=(check,)))))
    assert f"echo '\n{runs}\n# heading'\n" in [token.content for token in tokens if token.type == "fence"]


def test_the_summary_shows_text_as_it_was_written() -> None:
    text = r"a_b *c* <b> [x](y) \ | `d` #1 &amp; 1. - + ~~e~~ https://example.org @f!"
    check = replace(reports.failed_check(), message=text)
    tokens = MARKDOWN.parse(job_summary(reports.report_of("a", replace(reports.failed_exercise(), checks=(check,)))))
    shown = ["".join(child.content for child in token.children or ()) for token in tokens if token.type == "inline"]
    assert text in shown


def test_a_summary_is_cut_before_github_drops_it_whole() -> None:
    huge = replace(reports.failed_check(), message="é\n" * 4000, actual="é\n" * 4000, expected="é\n" * 4000)
    report = reports.report_of("a", replace(reports.failed_exercise(), checks=(huge,) * 60))
    summary = job_summary(report)
    assert len(summary.encode()) <= SUMMARY_LIMIT
    assert "more are not shown here" in summary
    assert "Next: fix the first failed check, then push again" in summary.replace("\\", "")


def commands_in(log: str) -> list[str]:
    """The lines that GitHub's runner would obey."""
    return [line for line in log.split("\n") if line.lstrip().startswith("::") or "##[" in line]


@given(reports.hostile_text())
def test_whatever_students_write_only_our_own_commands_are_obeyed(text: str) -> None:
    report = reports.filled_with(text)
    commands = workflow_commands(report)
    assert commands_in("\n".join(commands)) == list(commands)
    assert {command.split()[0] for command in commands} == {"::error", "::warning"}
    assert all(len(command.splitlines()) == 1 for command in commands)
    log = escaped_log(text + plain(report_lines(report, TextOptions())), "secret-token")
    assert commands_in(log) == ["::stop-commands::secret-token", "::secret-token::"]


def structure(report: Report) -> list[str]:
    """The kinds of what a summary is made of, inline parts included; how often a paragraph or block comes may vary."""
    tokens = MARKDOWN.parse(job_summary(report))
    inline = {child.type for token in tokens for child in token.children or ()}
    return [token.type for token in tokens if token.type.startswith(("heading", "table", "tr", "td"))] + sorted(inline)


@given(reports.hostile_text())
def test_whatever_students_write_the_summary_has_no_markup_of_theirs(text: str) -> None:
    found = structure(reports.filled_with(text))
    assert [kind for kind in found if kind not in {"text", "text_special"}] == [
        kind for kind in structure(reports.filled_with("x")) if kind not in {"text", "text_special"}
    ]
