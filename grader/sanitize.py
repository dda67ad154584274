r"""The one place where text from a student is sanitized.

Names, messages and output come from a submission, so any character may stand in them. What can
steer a terminal, reorder a line, hide, forge a second line, or is illegal in XML 1.0 or UTF-8,
is replaced by a visible escape in Python's spelling (`\x1b`, `\u202e`). The escapes are plain
ASCII, so cleaning text twice changes nothing. Escaping for HTML, XML, Markdown and CSV comes on
top of this, in the renderer of each.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

TEXT_LIMIT = 8_000
"""Characters of one message, hint, excerpt or command that a report shows."""

LINE_LIMIT = 400
"""Characters of a text that stands on one line: a title, a name, a table's cell."""

NAME_LIMIT = 100
"""Characters of a file name made from a student's name; file systems allow 255 bytes."""

# Ranges, not a scan of unicodedata: building the set at import would cost a fifth of a second.
# A test compares them with the Unicode database. U+200C and U+200D stay: Persian and emoji need them.
UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1: terminals obey them
    "\xad\u061c\u180b-\u180f\u200b\u200e\u200f"  # invisible characters and marks of direction
    "\u2028-\u202e\u2060-\u206f"  # line and paragraph separator, bidi embeddings and isolates
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers: letters that show nothing
    "\ud800-\udfff"  # surrogates: not text, no UTF-8
    "\ufdd0-\ufdef\ufeff\ufff0-\ufffb\ufffe\uffff"  # byte order mark, annotations, non-characters
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U00013430-\U0001343f"  # format controls of rare scripts
    "\U000e0000-\U000e0fff"  # tags: an invisible alphabet
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(1, 17))
    + "]"
)


def sanitize(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text` with nothing in it but visible characters, spaces, tabs and newlines.

    CR LF becomes a newline. At most `limit` characters of the original are kept, and the
    number of those left out is told.
    """
    return UNSAFE.sub(
        lambda match: match[0].encode("unicode_escape").decode(), capped(text, limit).replace("\r\n", "\n")
    )


def sanitize_line(text: str, limit: int = LINE_LIMIT) -> str:
    r"""As `sanitize`, on one line: newlines and tabs are shown as `\n` and `\t`."""
    return sanitize(text, limit).replace("\n", "\\n").replace("\t", "\\t")


def capped(text: str, limit: int) -> str:
    """The first `limit` characters of `text`, and how many more there were."""
    left_out = len(text) - limit
    return text if left_out <= 0 else f"{text[:limit]}... ({left_out} more characters)"


def safe_name(student: str) -> str:
    """A file name for `student`, without ending: same for the same name, different for another.

    It has only ASCII letters, digits and `._-`, neither begins nor ends with a dot or a dash, and
    has at most 100 characters. Where the name itself is no such name, what can be kept of it is
    followed by a part of its SHA-256.
    """
    kept = _kept(student)
    if kept == student and 0 < len(kept) <= NAME_LIMIT and not _RESERVED.match(kept) and not _HASHED.search(kept):
        return kept
    return _with_digest(student)


def safe_names(students: Iterable[str]) -> dict[str, str]:
    """As `safe_name` for each, different from one another also where upper and lower case count as the same.

    So `Ada.html` and `ada.html` are two files on Windows and macOS, too.
    """
    names = {student: safe_name(student) for student in students}
    taken = Counter(name.casefold() for name in names.values())
    return {student: name if taken[name.casefold()] == 1 else _with_digest(student) for student, name in names.items()}


def _kept(student: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", student).strip(".-")


def _with_digest(student: str) -> str:
    digest = hashlib.sha256(student.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    readable = _kept(student)[: NAME_LIMIT - len(digest) - 1].strip(".-") or "student"
    return f"{readable}-{digest}"


_HASHED = re.compile(r"-[0-9a-f]{16}$")
"""What `safe_name` ends in where it adds a digest; a student called so must not meet another's."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|index)(\.|$)", re.IGNORECASE)
"""Names of devices in Windows, where a report may be unpacked, and of a folder's own page."""
