from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings

from grader.cli.console import Console
from grader.models import Doing, ExerciseEnded, ExerciseStarted
from grader.reports.text import TextOptions, report_lines
from tests import reports

OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What rich writes for colours and the cursor."""
COLOURS: Mapping[str, str] = {"TERM": "xterm-256color"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours_and_a_pipe_does_not() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        Console(stream, stream, COLOURS).write([(("failed", "no"), ("plain", " text"))])
    assert terminal.getvalue() == "\x1b[31mno\x1b[0m text\n"
    assert pipe.getvalue() == "no text\n"


@pytest.mark.parametrize(
    ("environment", "live"), [({"NO_COLOR": "1", "TERM": "xterm"}, True), ({"TERM": "dumb"}, False)]
)
def test_no_colours_or_no_live_display_where_not_wanted(environment: Mapping[str, str], *, live: bool) -> None:
    stream = Terminal()
    console = Console(stream, stream, environment)
    console.write([(("failed", "no"),)])
    with console.working() as emit:
        emit(Doing("amira", "3.1.4", "building"))
    shown = stream.getvalue()
    assert not re.search(r"\x1b\[3[0-7]", shown)
    assert ("building" in shown) is live
    assert live or shown == "no\n"


def test_lines_are_not_broken_and_documents_not_changed() -> None:
    stream = Terminal()
    console = Console(stream, stream, {**COLOURS, "COLUMNS": "40"})
    console.write([(("command", "docker run " + "argument " * 20 + "end"),)])
    assert len(stream.getvalue().splitlines()) == 1
    assert console.width == 40
    out = io.StringIO()
    Console(out, io.StringIO(), {}).data('{"a": "[bold]x[/] :smile:"}\n')
    assert out.getvalue() == '{"a": "[bold]x[/] :smile:"}\n'


def test_an_encoding_without_our_signs_gets_others() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1", newline="\n")
    Console(stream, stream, {}).write([(("passed", "✓ Björn 李 – ok"),)])
    stream.flush()
    assert raw.getvalue().decode("latin-1") == "+ Björn \\u674e - ok\n"


def test_a_batch_in_a_pipe_is_told_line_by_line_on_standard_error() -> None:
    out, err = io.StringIO(), io.StringIO()
    with Console(out, err, {}).working(2) as emit:
        emit(ExerciseStarted("amira", "3.1.1"))
        emit(Doing("amira", "3.1.1", "building"))
        emit(ExerciseEnded("amira", reports.passed_exercise()))
        emit(ExerciseEnded("amira", reports.ungraded_exercise()))
    assert out.getvalue() == ""
    assert err.getvalue() == "1 of 2: amira 3.1.1 passed, 10 / 10\n2 of 2: amira 3.2.2 not graded, – / 10\n"


def test_the_live_display_shows_who_what_and_how_long_and_leaves_the_failures() -> None:
    stream, seconds = Terminal(), [0.0]
    with Console(io.StringIO(), stream, COLOURS, lambda: seconds[0]).working(20) as emit:
        for number in range(10):
            emit(ExerciseEnded(f"s{number}", reports.failed_exercise() if number == 4 else reports.passed_exercise()))
        emit(Doing("amira", "3.1.4", "running with 100 120 110"))
        seconds[0] = 240.0
    shown = OURS.sub("", stream.getvalue())
    assert "5 of 20: s4 3.1.4 failed, 3 / 10" in shown
    assert "s5 3.1.1 passed" not in shown
    assert "10 of 20 exercises graded, about 4 min left" in shown
    assert re.search(r"amira  3\.1\.4  running with 100 120 110 +240 s", shown)
    assert stream.getvalue().rstrip("\r\n").endswith("\x1b[2K")


def test_for_programs_each_event_is_a_line_of_json() -> None:
    out, err = io.StringIO(), io.StringIO()
    with Console(out, err, {}).working(2, in_json=True) as emit:
        emit(ExerciseStarted("a\nb", "3.1.1"))
        emit(ExerciseEnded("a\nb", reports.ungraded_exercise()))
    started, ended = (json.loads(line) for line in out.getvalue().splitlines())
    assert started == {"student": "a\nb", "event": "started", "exercise": "3.1.1"}
    assert (ended["status"], ended["score"], ended["done"], ended["total"]) == ("not_graded", None, 1, 2)
    assert err.getvalue() == ""


@settings(max_examples=50)
@given(reports.hostile_text())
def test_whatever_students_write_the_terminal_obeys_only_us(text: str) -> None:
    stream = Terminal()
    console = Console(stream, stream, COLOURS)
    console.write(report_lines(reports.filled_with(text), TextOptions()))
    console.write([(("plain", text),)])
    console.note(text)
    with console.working(1) as emit:
        emit(Doing(text, "3.1.4", text))
    left = OURS.sub("", stream.getvalue())
    assert {character for character in left if character < " " or "\x7f" <= character <= "\x9f"} <= {"\n", "\r"}
    assert not re.search("[\u202a-\u202e\u2028\ud800-\udfff]", left)
