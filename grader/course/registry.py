"""Where kinds of check and the reasons that they give are registered.

The modules of `grader.checks`, which are above, register their kinds when they are imported. From the registry come the
union that `exercises.yaml` is validated against, its JSON Schema, and the table in docs/exercises.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_type_hints

from annotated_types import Ge, Le, MinLen
from pydantic import StringConstraints

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

STRICT: dict[str, Any] = {"extra": "forbid"}
"""Read by pydantic from `__pydantic_config__`: unknown keys are mistakes."""

Name = Annotated[str, MinLen(1)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-][A-Za-z0-9.-]*$")]
"""Safe as the name of a folder. `grader.course.validation` says each of these patterns in words."""
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/$|^(/\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$")]
ImageName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]*:[A-Za-z0-9_.-]+)?$")]
MinorVersion = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
ImagePattern = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]+:[0-9]+/)?[a-z0-9*][a-z0-9._*/-]*(:[A-Za-z0-9_.*-]+)?$")
]
Figure = Annotated[float, Ge(0), Le(100_000)]
"""A weekly figure; the range is that of EXERCISES.md, "Weeks"."""
Shape = Literal["rising", "falling", "noisy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What every kind of check has. In a field of another class, it stands for any registered kind."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    id: Identifier
    """Short and stable; unique in its exercise. Appears in reports and exports."""
    title: Name
    """What is checked, as a student reads it."""
    weight: Annotated[float, Ge(0)]
    """Share of the exercise's points, relative to the other checks."""
    needs: tuple[Name, ...] = ()
    """Ids of earlier checks that must pass; otherwise this one is blocked."""
    hints: dict[str, Name] = field(default_factory=dict, hash=False)
    """Hints for this check that replace the course's, by reason."""
    kind: str
    """Which kind of check it is: each kind allows its own name."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:  # noqa: ANN401 - pydantic's signature
        """The schema of one kind, or, of `Check` itself, that of the union of all registered kinds."""
        if cls is not Check:
            return handler(source)
        from pydantic import Field

        kinds: Any = Union[tuple(CHECK_KINDS.values())]  # noqa: UP007 - known only at run time
        return handler(Annotated[kinds, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a check fails: a stable `code` (`D104`), the `name` that findings and hints use, and when it is given."""

    code: str
    name: str
    when: str


CHECK_KINDS: dict[str, type[Check]] = {}
"""Each kind's dataclass by its name in `exercises.yaml`."""
REASONS: dict[str, Reason] = {}
"""Each reason by its name."""


def register_kind(spec: type[Check]) -> None:
    """Make a kind known under the name that its field `kind` allows. `ValueError` if another kind has that name."""
    (name,) = get_args(get_type_hints(spec)["kind"])
    if CHECK_KINDS.setdefault(name, spec) is not spec:
        raise ValueError(f"two kinds of check are called {name}")


def reason(code: str, name: str, when: str) -> str:
    """Make a reason known, and return its name. `ValueError` if another one has that code or name.

    The first letter of a code says what it is about: D the Dockerfile, its build and the image's command, F files that
    are handed in, R a run and its output, P Python's source and packages, S the script of commands, C Compose.
    """
    if name in REASONS or any(code == other.code for other in REASONS.values()):
        raise ValueError(f"two reasons are called {name} or {code}")
    REASONS[name] = Reason(code, name, when)
    return name
