"""The words that `exercises.yaml` may use for names, paths, versions and figures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen
from pydantic import StringConstraints

STRICT: dict[str, Any] = {"extra": "forbid"}
"""Read by pydantic from `__pydantic_config__`: unknown keys are mistakes."""

Name = Annotated[str, MinLen(1)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-][A-Za-z0-9.-]*$")]
"""Safe as the name of a folder. `grader.course.validation_messages` says each of these patterns in words."""
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/$|^(/\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$")]
ImageName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9._-]*:[A-Za-z0-9_.-]+)?$")]
MinorVersion = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
ImagePattern = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]+:[0-9]+/)?[a-z0-9*][a-z0-9._*/-]*(:[A-Za-z0-9_.*-]+)?$")
]
Figure = Annotated[float, Ge(0), Le(100_000)]
"""A weekly figure; the range is that of EXERCISES.md, "Weeks"."""
Shape = Literal["rising", "falling", "noisy"]
