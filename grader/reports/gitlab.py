"""A report for GitLab: a Code Quality document, which marks lines in a merge request.

Its form: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format. Every entry needs a file and a
line, so what has none is left to junit.xml and the log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from grader.reports.annotations import Annotation

_SEVERITY = {"error": "major", "warning": "minor", "notice": "info"}


def code_quality(annotations: Sequence[Annotation]) -> str:
    """The annotations that have a file, as JSON text. A fingerprint is the same each time for the same remark."""
    entries = [
        {
            "description": f"{one.title}\n{one.text}",
            "check_name": one.title,
            "fingerprint": hashlib.sha256(f"{one.file}:{one.title}".encode()).hexdigest(),
            "severity": _SEVERITY[one.level],
            "location": {"path": one.file, "lines": {"begin": one.line or 1}},
        }
        for one in annotations
        if one.file
    ]
    return json.dumps(entries, indent=2) + "\n"
