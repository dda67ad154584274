"""What is told of a Compose file that Compose does not accept: each row is a mistake that a beginner makes."""

from __future__ import annotations

import pytest

from grader.checks.compose import compose_mistake, line_of

RIGHT = """services:
  predictor:
    build: .
    volumes:
      - ./sales.txt:/app/sales.txt
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("services:", "service:", 1, "did you mean `services`?"),
        ("services:", "Services:", 1, "did you mean `services`?"),
        ("volumes:", "volume:", 4, "did you mean `volumes`?"),
        ("build: .", "build .", 3, "no colon after the key"),
        ("build: .", "build:.", 3, "a blank is missing after the colon: `build: .`"),
        ("txt:/app", "txt : /app", 5, "a blank beside its colon"),
        ("txt:/app", "txt: /app", 5, "a blank beside its colon"),
        ("- ./", "-./", 5, "a blank is missing after the dash"),
        ("- ./", "- ", 5, "taken for the name of a volume"),
        ("- ./", "./", 4, "begins with a dash"),
        ("- ./sales.txt:/app/sales.txt", "- ./sales.txt", 5, "no path in the container"),
        ("- ./sales.txt:/app/sales.txt", "- /app/sales.txt:./sales.txt", 5, "both sides exchanged"),
        ("./sales.txt:/app/sales.txt", "\u201c./sales.txt:/app/sales.txt\u201d", 5, "curly"),
        ("    build", "\tbuild", 3, "a tab"),
        ("    volumes", "   volumes", 4, "indented by 3 spaces"),
        ("  predictor:", "  predictor", 2, "has to end with a colon"),
        ("services:\n  predictor:", "services: predictor", 1, "has to end with a colon"),
        ("services:", "version: 3.8\nservices:", 1, "leave the line out"),
        ("- ./sales", '- "./sales', 5, "closing quote"),
        ("  predictor:", "  - predictor:", 1, "without a dash"),
        ("  predictor:\n", "", 2, "`build` belongs to a service"),
        (RIGHT, "predictor:\n  build: .\n", 1, "belongs under `services:`"),
        (RIGHT, "build: .\n", 1, "belongs to a service"),
        (RIGHT, "services:\n  predictor:\n", 2, "has no keys"),
        (RIGHT, "docker build .\n", 1, "a command to type"),
        (RIGHT, "```yaml\nservices:\n", 1, "Markdown"),
        (RIGHT, "", 1, "Begin with `services:`"),
        (RIGHT, "services:\n  a:\n    environment: A=1\n", 3, "a line for each variable"),
        (RIGHT, "services:\n  a:\n    build: .\n    build: .\n", 4, "given twice"),
    ],
)
def test_a_mistake_has_its_line_and_plain_words(old: str, new: str, line: int, told: str) -> None:
    found = compose_mistake(RIGHT.replace(old, new, 1).encode())
    assert found
    assert (found.line, told in found.message) == (line, True), found


@pytest.mark.parametrize(
    "text", [RIGHT, RIGHT + "    x-own: 1\nvolumes:\n  data:\n", "x-base: &b\n  build: .\n" + RIGHT]
)
def test_nothing_is_made_up(text: str) -> None:
    assert compose_mistake(text.encode()) is None


@pytest.mark.parametrize(
    ("path", "line"),
    [(("services", "predictor", "volumes"), 4), (("services", "predictor", "restart"), 2), (("networks", "x"), None)],
)
def test_a_key_has_a_line(path: tuple[str, ...], line: int | None) -> None:
    assert line_of(RIGHT.encode(), *path) == line
    assert line_of(b"services: [", *path) is None
