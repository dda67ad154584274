"""FROM and the ARGs before it: which image each build stage begins with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from e2b_dockerfile_utils import ShellLex

from grader.dockerfile.image_names import reference_problem
from grader.dockerfile.models import CannotParse, Instruction, Stage

_BUILDERS_OWN = re.compile(r"(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT|STAGE)")
"""ARGs that the builder itself sets before the first FROM."""

_MAX_WORD = 1000
"""Characters of a value that may become part of an image's name. ARGs of `$A$A` would fill the memory."""

_PLAIN_VARIABLE = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*(?:\}|:?[-+?]))")


@dataclass(slots=True)
class Defaults:
    """The ARGs before the first FROM: known values, and names whose value is not worked out here.

    `given` are the values that a build is given for some of them (`--build-arg`), which then stand before the defaults.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)

    def substituted(self, word: str, escape: str) -> str | None:
        """`word` without quotes and with variables put in as the builder does; None where that is not done here.

        Left out on purpose: `${NAME#pattern}` and its like, which not all builders know, and variables
        that the builder sets.
        """
        used = _PLAIN_VARIABLE.findall(word)
        if len(word) > _MAX_WORD or len(used) != word.count("$"):
            return None
        if not all(self._readable(*re.findall(r"\w+|\W+$", piece[1:].lstrip("{"))) for piece in used):
            return None
        try:
            value = ShellLex(escape, env=self.values, skip_unset_env=False).process_word(word)
        except ValueError:
            return None
        return value if len(value) <= _MAX_WORD else None

    def _readable(self, name: str, modifier: str = "") -> bool:
        """Whether all builders see the same value. An ARG without one is empty to some of them, and unset to others."""
        if _BUILDERS_OWN.fullmatch(name) or name in self.unreadable:
            return False
        return modifier not in ("-", "+", "?") or name in self.values


def note_default(instruction: Instruction, defaults: Defaults, escape: str) -> None:
    """Add what an ARG before the first FROM sets to `defaults`; nothing else may stand there."""
    line = instruction.first_line
    if instruction.keyword != "ARG":
        first = "A Dockerfile begins with FROM and the name of an image."
        raise CannotParse(f"{instruction.keyword} stands before FROM. {first}", line)
    for word in instruction.arguments:
        name, given, written = word.partition("=")
        if given and _BUILDERS_OWN.fullmatch(name):
            raise CannotParse(f"ARG {name} is set by the builder. Take another name.", line)
        value = defaults.substituted(written, escape) if given else ""
        if name in defaults.given:
            given, value = "=", defaults.given[name] if len(defaults.given[name]) <= _MAX_WORD else None
        if value is None or name in defaults.declared:  # of two without a value, builders take different ones
            defaults.unreadable.add(name)
        elif given:
            defaults.values[name] = value
        defaults.declared.add(name)


def read_stage(instruction: Instruction, defaults: Defaults, escape: str) -> Stage:
    """The stage that a FROM begins."""
    line = instruction.first_line
    match instruction.arguments:
        case (written,):
            name = ""
        case (written, as_word, named) if as_word.upper() == "AS":
            name = named.lower()
        case (written, tag) if tag.upper() != "AS" and ":" not in written and not reference_problem(f"{written}:{tag}"):
            message = f"a colon stands between an image's name and its tag: FROM {written}:{tag}"
            raise CannotParse(message[:200], line)
        case _:
            raise CannotParse("FROM needs the name of an image, and after it nothing, or AS and a name.", line)
    if name and not re.fullmatch(r"[a-z][a-z0-9_.-]*", name):
        rule = "a stage's name begins with a letter and holds only letters, digits, _ . and -"
        raise CannotParse(f"AS {name[:60]}: {rule}.", line)
    image = defaults.substituted(written, escape)
    if image is None:
        raise CannotParse(f"FROM {written[:120]}: this cannot be worked out here. Write the image's name.", line)
    if problem := _image_problem(written, image):
        raise CannotParse(f"FROM {written[:120]}: {problem}", line)
    platform = next((flag.value for flag in instruction.flags if flag.name == "platform"), "")
    return Stage(name, image, written, platform, line)


def _image_problem(written: str, image: str) -> str:
    if not image:
        return "no image is named, because the ARG has no value. Give it one before FROM: ARG NAME=value"
    reason = reference_problem(image)
    if reason and image != written:
        return f"this comes to {image[:120]!r}, which is no image's name: {reason}"
    return f"this is no image's name: {reason}" if reason else ""
