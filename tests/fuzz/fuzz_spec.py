"""Any text of exercises.yaml gives a course, or mistakes with their lines; never anything else.

`.venv/bin/python -m tests.fuzz.fuzz_spec --seconds 600 --seed 1`
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

from grader.checks import REASONS
from grader.course.loader import load_course
from grader.course.models import Course
from grader.course.yaml_source import YamlError, decode
from grader.errors import SpecError
from tests.fuzz.harness import Found, main, mutated_bytes, mutated_text

ROOT = Path(__file__).parents[2]
MISTAKE = re.compile(r"exercises\.yaml:[1-9][0-9]*:[1-9][0-9]*: [^\n]+; expected [^\n]+")

SPECIAL = """\
{ } [ ] , : - ? & * ! | > ' " % @ ` # --- ... <<: !!python/object/apply:os.system !!binary !!omap !<x> &a *a *b
null ~ true no on 0 -1 3.9 "3.9" 1e999 .inf -.nan 0x1F 1_000 12:30:45 2026-01-01 99999999999999999999 '' "" [] {} [[[[[[
{{{{{{ {a:{b:{c: "\\x00" "\\ud800" "\\u202e" |2- >+
"""


def seeds() -> list[str]:
    """Whole courses, and one exercise of the real course at a time, which is read much faster."""
    whole = (ROOT / "exercises.yaml").read_text(encoding="utf-8")
    specs = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests/unit/specs").glob("*.yaml"))]
    head, *exercises = re.split(r"(?m)^(?=  - id:)", whole)
    return [whole, *specs * 4, *[head + one for one in exercises]]


SEEDS = seeds()
WORDS = [*SPECIAL.split(), *sorted({word for text in SEEDS[1:3] for word in re.findall(r"\w+:?", text)})]


def once(draw: random.Random) -> str:
    """One text, mutated or made of nothing but words, as text or as bytes."""
    text = draw.choice(SEEDS)
    match draw.randrange(8):
        case 0:
            text = draw.choice(["", " ", "\n"]).join(draw.choices(WORDS, k=draw.randint(1, 60)))
        case 1:
            try:
                text = decode(mutated_bytes(draw, text.encode()))
            except YamlError:
                return "not text"
        case _:
            text = mutated_text(draw, text, WORDS, SEEDS)
    return judged(text)


def judged(text: str) -> str:
    """What the loader makes of a text; `Found` if it is neither a course nor mistakes as promised."""
    try:
        course = load_course(text, reasons=REASONS)
    except SpecError as error:
        if not error.problems or not all(MISTAKE.fullmatch(problem) for problem in error.problems):
            bad = [problem for problem in error.problems if not MISTAKE.fullmatch(problem)]
            raise Found(f"a mistake is not told as promised: {repr(bad)[:500]}") from None
        str(error).encode()
        return "mistakes"
    if not isinstance(course, Course):
        raise Found(repr(course))
    return "a course"


if __name__ == "__main__":
    sys.exit(main(once))
