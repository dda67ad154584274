"""What the proxy is started with, as values that travel as one JSON document."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """The submission's folder, by the path that each of three file systems knows it by. All are absolute.

    `path` is what commands see, so what a bind mount begins with (`-v "$PWD/data:/data"`). `engine` is in the file
    system of the nested engine, which mounts it. `here` is in the proxy's own, where it makes the folders that a bind
    mount names and that are missing, as Docker does.
    """

    path: str
    engine: str
    here: str


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that one script may ask for, whether what it made is still there or not.

    `images` counts names too: a tag, and each `-t` of a build. `commands` are those of `docker exec`. Networks are
    fewer than an engine has addresses for (31 at a time), so that this limit is what a script is told of.
    """

    requests: int = 5000
    containers: int = 64
    commands: int = 256
    networks: int = 24
    volumes: int = 128
    images: int = 64
    builds: int = 64


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens, what it guards, and what it lets pass.

    `listen` and `engine` are paths of unix sockets; that of `listen` is made new, for this user alone. `record` is a
    file to which a line of JSON is appended for each request. `images` are the names of the course's base
    images, which may have `*` in them. A build's context holds at most `context_mb` MiB in `context_files` files. A
    container gets at most `cpus` cores, which has to be no more than the engine has (0: no bound).
    """

    listen: str
    engine: str
    record: str
    workspace: SharedFolder
    images: tuple[str, ...] = ()
    context_mb: int = 32
    context_files: int = 2000
    cpus: float = 0.0
    quota: Quota = Quota()

    def to_json(self) -> bytes:
        """The document that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> ProxySettings:
        """Settings as `to_json` wrote them. They are ours, so a fault in them is an exception of any kind."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            **values
            | {
                "workspace": SharedFolder(**values["workspace"]),
                "images": tuple(values["images"]),
                "quota": Quota(**values["quota"]),
            }
        )
