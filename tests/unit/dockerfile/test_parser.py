from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grader.dockerfile.parser import Dockerfile, Instruction, Unparsable, parse
from tests.dockerfiles import dockerfile as read

ROWS = yaml.safe_load(Path(__file__).with_name("parser.yaml").read_text(encoding="utf-8"))


def refused(text: str | bytes) -> Unparsable:
    parsed = parse(text if isinstance(text, bytes) else text.encode())
    assert isinstance(parsed, Unparsable), parsed
    return parsed


def instruction(text: str, at: int = -1) -> Instruction:
    return read(text).instructions[at]


def test_an_instruction_has_its_lines_flags_and_words() -> None:
    parsed = instruction('FROM scratch\n\ncopy --from=0 --chmod=755 a.py \\\n  # why\n  "b c" /app/\n')
    assert (parsed.keyword, parsed.first_line, parsed.stage) == ("COPY", 3, 0)
    assert [(flag.name, flag.value) for flag in parsed.flags] == [("from", "0"), ("chmod", "755")]
    assert parsed.value == 'a.py   "b c" /app/'
    assert parsed.arguments == ("a.py", '"b', 'c"', "/app/"), "builders split COPY at white space, whatever quotes say"


@pytest.mark.parametrize("row", ROWS["words"], ids=lambda row: row["line"])
def test_json_form_is_told_from_shell_form(row: dict[str, Any]) -> None:
    parsed = instruction(f"FROM scratch\n{row['line']}\n")
    assert (parsed.json, list(parsed.arguments)) == (row["json"], row["arguments"])


@pytest.mark.parametrize("row", ROWS["stages"], ids=lambda row: row["text"])
def test_stages_and_their_images(row: dict[str, Any]) -> None:
    assert [[stage.name, stage.image, stage.platform] for stage in read(row["text"]).stages] == row["stages"]


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("RUN <<EOF\nFROM evil\npip install x\nEOF\n", "FROM evil\npip install x\n"),
        ("RUN <<-EOF\n\tx\n\tEOF\n", "\tx\n"),
        ("RUN python - <<EOF && echo ok\r\nprint(1)\r\nEOF\r\n", "print(1)\r\n"),
    ],
)
def test_the_text_of_a_heredoc_is_no_instruction(line: str, body: str) -> None:
    parsed = read(f"FROM scratch\n{line}CMD x\n")
    assert [one.keyword for one in parsed.instructions] == ["FROM", line[: line.index(" ")], "CMD"]
    assert parsed.instructions[1].heredocs[0] == body


@pytest.mark.parametrize("line", ["RUN echo $((1<<3))", "RUN cat <<< x", 'RUN python -c "print(1 << 3)"', "RUN a <b"])
def test_other_uses_of_the_less_than_sign_are_no_heredocs(line: str) -> None:
    assert instruction(f"FROM scratch\n{line}\n").heredocs == ()


def test_onbuild_holds_an_instruction() -> None:
    trigger = instruction("FROM scratch\nONBUILD COPY --from=x a b\n").trigger
    assert trigger is not None
    assert (trigger.keyword, trigger.first_line, trigger.flags[0].value) == ("COPY", 2, "x")


@pytest.mark.parametrize("row", ROWS["unparsable"], ids=lambda row: row["text"])
def test_what_would_not_build_says_why_and_where(row: dict[str, Any]) -> None:
    parsed = refused(row["text"])
    assert parsed.line == row["line"]
    assert row["says"] in parsed.message
    assert parsed.message.startswith(f"Dockerfile line {row['line']}: " if row["line"] else "The Dockerfile ")


def test_a_file_in_utf_16_is_told_so() -> None:
    assert "UTF-16" in refused("FROM python:3.9\n".encode("utf-16")).message


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nCOPY --chown=\u00e0--from=evil a b\n",  # BuildKit takes a byte of the letter for a space
        "FROM a\nCOPY --chown=x\\ --from=evil a b\n",
        "#\u00a0escape=`\nFROM a\n",  # a directive only to the newest
        "ARG A=x\nARG A\nFROM python:${A:-evil}\n",
    ],
)
def test_what_two_builders_read_in_two_ways_is_not_read(text: str) -> None:
    """Of most such files, the corpus tells (`test_policy`)."""
    refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nRUN cat <<EOF " + "${a:-" * 400 + "}" * 400 + "\nRUN cat <<X\nEOF\nFROM evil\nX\n",
        "ARG A0=x\n" + "".join(f"ARG A{n + 1}=$A{n}$A{n}\n" for n in range(60)) + "FROM $A60\n",
        "FROM a\nRUN " + "[" * 60_000 + "\n",
        "FROM a\nRUN " + "9" * 6_000 + "<<EOF\nEOF\n",
        "FROM " + "a-" * 30_000 + "!\n",
        "\n" * 300_000,
    ],
)
def test_absurd_files_are_answered(text: str) -> None:
    refused(text)


WORDS = ["FROM a", "from $A", "ARG A=b", "RUN x", "RUN <<EOF", "EOF", "COPY --from=b a c", 'CMD ["a"]', "ONBUILD RUN x"]
MARKS = [*"\\`\"'[ #\x00\u00a0", "# escape=`", "# syntax=docker/dockerfile:1", "<<", "--", "${"]
PIECES = st.sampled_from(WORDS + MARKS)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from(["\n", "\r\n", " ", ""])), max_size=12)


@pytest.mark.parametrize("row", ROWS["built"], ids=lambda row: row["text"])
def test_the_syntax_line_is_a_plain_comment_in_what_is_built(row: dict[str, Any]) -> None:
    assert read(row["text"]).built.decode() == row["built"]


@given(TEXTS)
def test_what_is_built_is_what_was_read(parts: list[tuple[str, str]]) -> None:
    parsed = parse(("# syntax=docker/dockerfile:1\n" + "".join(piece + end for piece, end in parts)).encode())
    if isinstance(parsed, Dockerfile):
        built = read(parsed.built)
        assert b"syntax=" not in parsed.built.split(b"FROM")[0]
        assert (built.instructions, built.stages) == (parsed.instructions, parsed.stages)
