"""`docker build` as `POST /build`: the context is read like a submission, judged, and built by BuildKit. Pure.

The docker command runs with DOCKER_BUILDKIT=0 and sends its context as a tar, without a session. It is read into memory
within the same budget as what is handed in, its Dockerfile is put to the same policy, and it is written anew.
BuildKit's trace becomes the lines that the command prints.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from grader.dockerfile.image_names import normalised
from grader.dockerfile.parser import Dockerfile, Unparsable, parse
from grader.dockerfile.policy import judge_dockerfile
from grader.engine.build.trace import Vertex, WholeLines, decode_status
from grader.engine.tar import write_tar
from grader.engine.wording import BUILD_STEP, plain_error
from grader.models import MemoryFile
from grader.sandbox.proxy.endpoints import LEFT_OUT
from grader.sandbox.proxy.interface import ProxySettings
from grader.sandbox.proxy.rules import Plan, not_here
from grader.sandbox.proxy.shape import Refusal, written
from grader.submissions.archive import Unreadable, read_archive
from grader.submissions.models import MEGABYTE, Budget, Member

_MODIFIED = 315_532_800
"""When every file was last changed, in seconds since 1970: as in `engine.build.context`."""
_END = bytes(2 * tarfile.BLOCKSIZE)
"""How a tar ends. With a Dockerfile from elsewhere, the docker command leaves it out, as does Compose inside a gzip."""


class BadContext(Exception):  # noqa: N818 - what happened; nothing went wrong
    """A context that nothing can be built from. The text is the engine's answer, with status 400."""


def body_limit(settings: ProxySettings) -> int:
    """Bytes that the tar of a context may have: header and padding of a file are 1,024."""
    return (settings.context_mb + 2 + settings.context_files // 500) * MEGABYTE


def prepare(planned: Plan, body: bytes, settings: ProxySettings, present: Sequence[str], caches: str) -> Plan:
    """Read the context and judge its Dockerfile. The record says which files there were, by path and SHA-256.

    `present` are the names of the images that the engine has, `caches` is the namespace of what `RUN
    --mount=type=cache` keeps. Raises `Refusal` and `BadContext`.
    """
    query = dict(planned.request.query)
    path = query.get("dockerfile") or "Dockerfile"
    members = _read(body, settings)
    found = next((member for member in members if member.path == path), None)
    if found is None:
        raise BadContext(f"failed to read dockerfile: open {path}: no such file or directory")
    arguments = json.loads(query.get("buildargs") or "{}")
    given = {name: value for name, value in arguments.items() if value is not None}
    dockerfile = _judged(parse(found.content, given, path), settings, present)
    own = {"version": "2", "dockerfile": path}
    own["buildargs"] = written(arguments | {"BUILDKIT_CACHE_MOUNT_NS": caches}).decode()
    kept = tuple((name, value) for name, value in planned.request.query if name not in {"q", *LEFT_OUT, *own})
    sent = [MemoryFile(one.path, dockerfile.built if one is found else one.content, one.mode) for one in members]
    digests = [(one.path, hashlib.sha256(one.content).hexdigest()) for one in members if not one.path.endswith("/")]
    return replace(
        planned,
        request=replace(planned.request, query=(*kept, *own.items()), content_type="application/x-tar"),
        body=write_tar(sent, modified=_MODIFIED),
        entry={"dockerfile": path, "context": digests},
    )


def _read(body: bytes, settings: ProxySettings) -> tuple[Member, ...]:
    budget = Budget(settings.context_files, settings.context_mb * MEGABYTE)
    end = gzip.compress(_END) if body.startswith(b"\x1f\x8b") else _END
    members = read_archive(io.BytesIO(body + end), ".tar", budget, whole=True)
    if isinstance(members, Unreadable):
        raise Refusal(f"the build context cannot be taken: {members.message}")
    if bad := next((member for member in members if member.problem), None):
        raise Refusal(f"the build context cannot be taken: {bad.path[:120]}: {bad.problem}")
    return members


def _judged(dockerfile: Dockerfile | Unparsable, settings: ProxySettings, present: Sequence[str]) -> Dockerfile:
    """The Dockerfile, if BuildKit may be given it. Images of the script's own may be built from."""
    allowed = (*settings.images, *(name for name in present if "*" not in name))
    found = judge_dockerfile(dockerfile, allowed)
    if found.refusals:
        raise Refusal(" ".join(refusal.message for refusal in found.refusals))
    if isinstance(dockerfile, Unparsable):
        raise BadContext(dockerfile.message)
    if missing := [base for base in found.bases if base not in present]:
        raise not_here(missing[0])
    return dockerfile


# ── what is printed ─────────────────────────────────────────────────────────────────────

_EXIT_CODE = re.compile(r"exit code: (\d+)$")


@dataclass(slots=True)
class Printer:
    """Turns what BuildKit tells of one build into the lines that the docker command prints, as JSON messages.

    `tags` are the names that the image gets. `image` is its id, once there is one. Of a `quiet` build (`-q`), nothing
    but that is printed unless it fails.
    """

    tags: Sequence[str] = ()
    quiet: bool = False
    image: str = ""
    _held: list[str] = field(default_factory=list)
    _rest: bytes = b""
    _told: set[tuple[str, str]] = field(default_factory=set)
    _lines: WholeLines = field(default_factory=WholeLines)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next piece of the engine's answer, which is a line of JSON for each message."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in filter(None, map(bytes.strip, lines)):
            for message in self._messages(json.loads(line)):
                yield json.dumps(message).encode() + b"\r\n"

    def _messages(self, message: dict[str, object]) -> Iterator[dict[str, object]]:
        last: list[dict[str, object]] = []
        match message:
            case {"id": "moby.buildkit.trace", "aux": str(encoded)}:
                self._held += self._traced(base64.b64decode(encoded))
                if self.quiet:
                    return
            case {"id": "moby.image.id", "aux": {"ID": str(image)}}:
                self.image = image
                yield {"aux": {"ID": image}}
                built = [f"Successfully built {image.removeprefix('sha256:')[:12]}\n"]
                tagged = [f"Successfully tagged {normalised(tag)}\n" for tag in self.tags]
                self._held = [f"{image}\n"] if self.quiet else built + tagged
            case {"error": str(error)}:
                text = plain_error(error)
                code = _EXIT_CODE.search(text)
                last = [{"error": text, "errorDetail": {"message": text, "code": int(code[1]) if code else 1}}]
            case _:
                return
        held, self._held = self._held, []
        for text in held:
            yield {"stream": text}
        yield from last

    def _traced(self, status: bytes) -> Iterator[str]:
        """Each step's head as it begins, that it was cached, and what it writes."""
        decoded = decode_status(status)
        for vertex in decoded.vertices:
            if (step := BUILD_STEP.match(vertex.name)) is None:
                continue
            number = f"{step['index']}/{step['total']}"
            head = " ".join(filter(None, ["Step", step["stage"], number, ":", step["text"]])) + "\n"
            for text, is_so in ((head, vertex.started is not None), (" ---> Using cache\n", vertex.cached)):
                if is_so and (vertex.digest, text) not in self._told:
                    self._told.add((vertex.digest, text))
                    yield text
        written = [self._lines.add(log) for log in decoded.logs]
        written += [self._lines.rest(vertex.digest) for vertex in decoded.vertices if self._ends(vertex)]
        yield from (text.decode("utf-8", "replace") for text in written if text)

    def _ends(self, vertex: Vertex) -> bool:
        """Whether it has ended, the first time that this is said."""
        end = vertex.digest, ""
        if vertex.completed is None or end in self._told:
            return False
        self._told.add(end)
        return True
