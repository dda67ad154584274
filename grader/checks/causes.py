"""What common mistakes look like in text, and what to say of each: the table in `causes.yaml`, and its reader.

What is looked at may be text of the student's own commands. It explains what has failed, and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from grader.dockerfile.explain import nearest

_TABLE = "causes.yaml"
_MOST_QUOTED = 60


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something failed: a reason's name, what to tell, its line if it is known, and the text that shows it."""

    reason: str
    message: str
    line: int | None = None
    seen: str = ""


def cause_in(section: str, reason: str = "", /, **texts: str) -> Cause | None:
    """The first row of a section of the table that fits these texts; `reason` counts where the row gives none."""
    texts = {name: "\n".join(listed.split()) for name, listed in _table()["words"].items()} | texts
    for row in _table()[section]:
        if (found := _fits(row, texts)) is not None:
            shown = {
                name: text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}…" for name, text in found.items()
            }
            known = texts[row["near"]].split("\n") if "near" in row else []
            near = nearest(shown.get("name", ""), [word for word in known if word != shown["name"]])
            quoted = f"`{near}`" if "`{name}`" in row["says"] else near
            values = texts | shown | {"near": f" Did you mean {quoted}?" if near else ""}
            return Cause(row.get("reason", reason), _filled(row["says"], values), None, found["seen"])
    return None


def _fits(row: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, str] | None:
    """What the groups of the row's patterns have found; None if one of them does not fit."""
    groups: dict[str, str] = {}
    for name, patterns in row.items():
        absent = name.startswith("no ")
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if name in {"says", "reason", "near"}:
                continue
            escaped = {known: re.escape(text) for known, text in (groups | {"script": texts.get("script", "")}).items()}
            match = re.search(_filled(pattern, escaped), texts[name.removeprefix("no ")], re.MULTILINE)
            if (match is None) != absent:
                return None
            groups = {"seen": match[0]} | groups | match.groupdict("") if match else groups
    return {"seen": ""} | groups


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)


def words(name: str) -> list[str]:
    """The words of a list of the table."""
    return str(_table()["words"][name]).split()


@cache
def _table() -> Any:  # noqa: ANN401 - YAML
    text = resources.files("grader.checks").joinpath(_TABLE).read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
