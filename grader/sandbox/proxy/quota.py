"""How much one script may ask for: requests in all, and things made, whether they are still there or not.

Memory, disk and processes are bounded by the private engine; what is counted here costs little of these, and yet slows
an engine down for a long time (a thousand networks), or fills the record. An honest script makes a handful.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grader.sandbox.proxy.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that one script may make. `images` counts names too: a tag, and each build's; `commands` are execs.

    Networks are fewer than what an engine has addresses for (31 at a time), so that this is what is told.
    """

    requests: int = 5000
    containers: int = 64
    commands: int = 256
    networks: int = 24
    volumes: int = 128
    images: int = 64
    builds: int = 64


DEFAULT = Quota()
_MAKES: Mapping[str, Mapping[str, int]] = {
    "container create": {"containers": 1},
    "exec create": {"commands": 1},
    "network create": {"networks": 1},
    "volume create": {"volumes": 1},
    "image tag": {"images": 1},
    "build": {"builds": 1},
}


def asked_of(endpoint: str, query: Sequence[tuple[str, str]], body: object = None) -> Mapping[str, int]:
    """What a request makes if it is carried out, by the name of its endpoint. `body` is the decoded JSON, checked.

    What is built through BuildKit is not asked for in requests; see `buildkit`.
    """
    makes = _MAKES.get(endpoint, {})
    if endpoint == "build":
        return {**makes, "images": max(1, sum(name == "t" for name, _ in query))}
    return {**makes, "volumes": _volumes(body)} if "containers" in makes and isinstance(body, dict) else makes


def _volumes(settings: Mapping[str, Any]) -> int:
    """Volumes that a container may bring along: each place where one is mounted."""
    host = settings.get("HostConfig") or {}
    mounts = [mount for mount in host.get("Mounts") or () if mount.get("Type") == "volume"]
    return len(mounts) + len(host.get("Binds") or ()) + len(settings.get("Volumes") or ())


@dataclass(slots=True)
class Account:
    """What one script has asked for so far. From any thread."""

    quota: Quota
    _spent: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def charge(self, asked: Mapping[str, int]) -> None:
        """Count it, all or nothing. Raises `Refusal` if that would be more than the quota."""
        with self._lock:
            after = {kind: self._spent.get(kind, 0) + count for kind, count in asked.items()}
            for kind, count in after.items():
                most = getattr(self.quota, kind)
                if count > most:
                    raise Refusal(_words(kind, most))
            self._spent.update(after)


def _words(kind: str, most: int) -> str:
    if kind == "requests":
        return f"the script has made more than {most} requests to the engine. Does a loop in it never end?"
    what = {"commands": "commands with `docker exec`", "images": "images and names of images"}.get(kind, kind)
    return f"at most {most} {what} can be made by one script, whether they are removed again or not"
