"""Images in an engine: what they are, and pulling, importing, copying and naming them."""

from __future__ import annotations

import contextlib
import io
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from grader.dockerfile.image_names import split_reference
from grader.engine.files import read_tar, unreadable_users
from grader.engine.holder import Holder
from grader.engine.http import Connection, Parameters, Refused, if_there
from grader.engine.run import remove_container
from grader.errors import EngineError
from grader.models import ImageConfig

_TAR_BEGINNING = 65_536
"""Bytes of a tar that are enough to see whether a folder is empty."""
_IMPORT_SECONDS = 600.0
_PULL_SILENCE = 20.0
"""Seconds without news after which a registry counts as unreachable."""


@dataclass(slots=True)
class Image:
    """What is known of an image that is run. `volumes` are declared with VOLUME; `size` is in bytes.

    `names_localhost` is false where nothing that was sent to build it has that name in it. `tags` are the names that
    builds gave it. `has_started`: a container of it has. `holder` is the one in which further runs are executed.
    """

    config: ImageConfig
    volumes: tuple[str, ...]
    size: int
    tmp_is_empty: bool
    names_localhost: bool = True
    tags: list[str] = field(default_factory=list)
    has_started: bool = False
    holder: Holder | None = None


def look_at(connection: Connection, image: str, labels: Mapping[str, str] | None) -> Image:
    """What an engine knows of an image. With `labels` for a container, its /tmp is looked into (0.15 s)."""
    details = connection.call("GET", f"/images/{image}/json").json
    config = (details["Id"] and details.get("Config")) or {}  # an answer without the id is about no image
    empty = labels is None or _tmp_is_empty(connection, image, labels)
    return Image(image_config(config), tuple(sorted(config.get("Volumes") or ())), int(details.get("Size") or 0), empty)


def image_config(config: Mapping[str, Any]) -> ImageConfig:
    """The part of `Config` in an engine's answer that exercises ask about.

    Since API 1.52 entries that are empty are missing, before they were null or empty.
    """
    pairs = (str(entry).partition("=") for entry in config.get("Env") or ())
    return ImageConfig(
        entrypoint=tuple(config.get("Entrypoint") or ()) or None,
        command=tuple(config.get("Cmd") or ()) or None,
        working_dir=str(config.get("WorkingDir") or ""),
        environment=tuple((name, value) for name, _, value in pairs),
        user=str(config.get("User") or ""),
    )


def untag_image(connection: Connection, tag: str) -> None:
    """Take a name from an image; the image goes with its last name. Nothing happens if it is gone."""
    with if_there():
        connection.call("DELETE", f"/images/{tag}")


class ImageStore:
    """The images of one engine by their names. Methods raise `EngineError` for the engine's own faults."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def image_labels(self, reference: str) -> dict[str, str] | None:
        """The labels of a local image, or None if there is no such image."""
        details = self.connection.find(f"/images/{reference}/json")
        return dict((details.get("Config") or {}).get("Labels") or {}) if details else None

    def is_derived(self, reference: str) -> bool:
        """Whether a local image was made from another one: each step leaves a line of history, an import only one."""
        return len(self.connection.call("GET", f"/images/{reference}/history").json) > 1

    def pull(self, reference: str) -> bool:
        """Pull from the registry that the reference names, without credentials. False if that cannot be done."""
        name, tag = split_reference(reference)
        parameters = {"fromImage": name, "tag": tag} if tag else {"fromImage": name}
        try:
            stream = self.connection.stream("POST", "/images/create", parameters=parameters, silence=_PULL_SILENCE)
            with contextlib.closing(stream):
                for _ in stream:  # its end is the end of the pull; whether it worked, the engine is asked
                    pass
        except EngineError:
            return False
        return self.image_labels(reference) is not None

    def import_image(self, archive: IO[bytes], reference: str, changes: Sequence[str]) -> None:
        """Make an image of one layer from a tar of a root file system. `changes` are instructions such as `ENV A=b`."""
        name, tag = split_reference(reference)
        parameters: Parameters = {"fromSrc": "-", "repo": name, "tag": tag, "changes": list(changes)}
        self.connection.call("POST", "/images/create", parameters=parameters, data=archive, seconds=_IMPORT_SECONDS)
        if self.image_labels(reference) is None:  # errors come in the middle of an answer of status 200
            raise EngineError(f"The engine did not import {reference}. Is its disk full? See `docker info` and `df`.")

    def copy_image(self, source: Connection, reference: str) -> None:
        """Copy an image out of another engine, through a file (5 to 9 s for 130 MB).

        Where it is here under another name, it is given this one.
        """
        known = str(source.call("GET", f"/images/{reference}/json").json["Id"])
        if self.image_labels(known) is not None:
            self.tag_image(known, reference)
            return
        with tempfile.TemporaryFile() as archive:
            stream = source.stream("GET", f"/images/{reference}/get", silence=_IMPORT_SECONDS)
            with contextlib.closing(stream):
                archive.writelines(stream)
            archive.seek(0)
            self.connection.call("POST", "/images/load", data=archive, seconds=_IMPORT_SECONDS)
        if self.image_labels(reference) is None:  # Podman's archives call `python:3.9` localhost/python:3.9
            self.tag_image(known, reference)

    def tag_image(self, source: str, reference: str) -> None:
        """Give a local image another name."""
        name, tag = split_reference(reference)
        self.connection.call("POST", f"/images/{source}/tag", parameters={"repo": name, "tag": tag})


def _tmp_is_empty(connection: Connection, image: str, labels: Mapping[str, str]) -> bool:
    """Whether the image has nothing in /tmp. Asks a container that is never started."""
    settings = {"Image": image, "Cmd": ["-"], "Labels": dict(labels), "HostConfig": {"NetworkMode": "none"}}
    container = connection.call("POST", "/containers/create", json=settings).json["Id"]
    try:
        if unreadable_users(connection, container):
            return True  # it will not be started
        tar = read_tar(connection, container, "/tmp", _TAR_BEGINNING)
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            archive.next()  # the folder itself
            return archive.next() is None
    except Refused as refused:
        if refused.gone:  # there is no /tmp at all
            return True
        raise
    finally:
        remove_container(connection, container)
