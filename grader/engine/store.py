"""What is in the engine: images (looked at, pulled, imported, tagged) and objects of ours to sweep away."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from grader.engine.http import Connection, Parameters, Refused, Stream
from grader.engine.ownership import KIND_LABEL, RUN_LABEL, Kind, Leftover
from grader.engine.run import remove_container
from grader.engine.user_files import not_a_file
from grader.errors import EngineError
from grader.models import ImageConfig

TAG_PREFIX = "grader.local/"
"""How the names of all images begin that are built here. No registry has that name (`.local` is never public)."""

_NOT_FOUND = 404
_TAR_BEGINNING = 65_536
_IMPORT_SECONDS = 600.0
_PULL_SILENCE = 20.0
"""Seconds without news after which a registry counts as unreachable."""


# ── the engine itself ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine says of itself, for `grader doctor`. `root_dir` is on the engine's machine.

    `warnings` are the engine's own, such as limits that the kernel cannot enforce. `free_bytes` is the room
    at `root_dir`, None where the engine is not on this machine.
    """

    endpoint: str
    version: str
    api_version: str
    operating_system: str
    architecture: str
    cgroup_version: str
    cgroup_driver: str
    storage_driver: str
    root_dir: str
    cpus: int
    memory_bytes: int
    rootless: bool
    warnings: tuple[str, ...]
    free_bytes: int | None


def engine_facts(connection: Connection, version: Mapping[str, Any]) -> EngineFacts:
    """The engine's own account of itself; `version` is its answer to `/version`."""
    info = connection.call("GET", "/info", seconds=10).json
    root = str(info.get("DockerRootDir") or "")
    return EngineFacts(
        endpoint=connection.endpoint,
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        operating_system=str(info.get("OperatingSystem", "")),
        architecture=str(info.get("Architecture", "")),
        cgroup_version=str(info.get("CgroupVersion", "")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        storage_driver=str(info.get("Driver", "")),
        root_dir=root,
        cpus=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        rootless=any("name=rootless" in option for option in info.get("SecurityOptions") or ()),
        warnings=tuple(str(warning) for warning in info.get("Warnings") or ()),
        free_bytes=free_bytes(connection.endpoint, root),
    )


def free_bytes(endpoint: str, root: str) -> int | None:
    """Bytes free at the engine's root folder, if that is a folder of this machine."""
    if not endpoint.startswith(("unix://", "http+unix://")) or not root:
        return None
    try:
        room = os.statvfs(root)
    except (OSError, AttributeError):  # in a virtual machine (Docker Desktop), or on Windows
        return None
    return room.f_bavail * room.f_frsize


# ── images ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a run needs to know of an image. `volumes` are declared with VOLUME.

    `names_localhost` is false where nothing that was sent to build it has that name in it.
    """

    config: ImageConfig
    volumes: tuple[str, ...] = ()
    tmp_is_empty: bool = True
    names_localhost: bool = True


def image_facts(connection: Connection, image: str, labels: Mapping[str, str] | None) -> ImageFacts:
    """The facts of an image. With `labels` for a container, its /tmp is looked into (0.15 s), else taken for empty."""
    details = connection.call("GET", f"/images/{image}/json").json
    config = (details["Id"] and details.get("Config")) or {}  # an answer without the id is about no image
    empty = labels is None or _tmp_is_empty(connection, image, labels)
    return ImageFacts(image_config(config), tuple(sorted(config.get("Volumes") or ())), empty)


def image_config(config: Mapping[str, Any]) -> ImageConfig:
    """The part of `Config` in an engine's answer that exercises ask about.

    Since API 1.52 entries that are empty are missing, before they were null or empty.
    """
    pairs = tuple(str(entry).partition("=") for entry in config.get("Env") or ())
    return ImageConfig(
        entrypoint=_words(config.get("Entrypoint")),
        command=_words(config.get("Cmd")),
        working_dir=str(config.get("WorkingDir") or ""),
        environment=tuple((name, value) for name, _, value in pairs),
        user=str(config.get("User") or ""),
    )


def _words(value: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - from JSON
    return tuple(str(word) for word in value) if value else None


def image_labels(connection: Connection, reference: str) -> dict[str, str] | None:
    """The labels of a local image, or None if there is no such image."""
    try:
        details = connection.call("GET", f"/images/{reference}/json").json
    except Refused as refused:
        if refused.status == _NOT_FOUND:
            return None
        raise
    return dict((details.get("Config") or {}).get("Labels") or {})


def is_derived(connection: Connection, reference: str) -> bool:
    """Whether a local image was made from another one: each step leaves a line in its history, an import leaves one."""
    return len(connection.call("GET", f"/images/{reference}/history").json) > 1


def pull_image(connection: Connection, reference: str) -> bool:
    """Pull from the registry that the reference names, without credentials. False if that cannot be done."""
    name, tag = split_reference(reference)
    parameters = {"fromImage": name, "tag": tag} if tag else {"fromImage": name}
    try:
        stream = connection.stream("POST", "/images/create", parameters=parameters, silence=_PULL_SILENCE)
    except EngineError:
        return False
    try:
        for _ in stream:  # its end is the end of the pull; whether it worked, the engine is asked
            pass
    except EngineError:
        return False
    finally:
        stream.close()
    return image_labels(connection, reference) is not None


def split_reference(reference: str) -> tuple[str, str]:
    """A reference's name and tag; `latest` where none is given, "" where a digest says it all."""
    if "@" in reference:
        return reference, ""
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


def import_image(connection: Connection, archive: IO[bytes], reference: str, changes: Sequence[str]) -> None:
    """Make an image of one layer from a tar of a root file system. `changes` are instructions such as `ENV A=b`."""
    name, tag = split_reference(reference)
    parameters: Parameters = {"fromSrc": "-", "repo": name, "tag": tag, "changes": list(changes)}
    connection.call("POST", "/images/create", parameters=parameters, data=archive, seconds=_IMPORT_SECONDS)
    if image_labels(connection, reference) is None:  # the engine tells errors in the middle of an answer of status 200
        raise EngineError(f"The engine did not import {reference}. Is its disk full? See `docker info` and `df`.")


def copy_image(source: Connection, target: Connection, reference: str) -> None:
    """Copy an image from one engine into another, through a file (5 to 9 s for 130 MB).

    Where the other one has it under another name, it is given this one.
    """
    known = str(source.call("GET", f"/images/{reference}/json").json["Id"])
    if image_labels(target, known) is not None:
        tag_image(target, known, reference)
        return
    with tempfile.TemporaryFile() as archive:
        stream = source.stream("GET", f"/images/{reference}/get", silence=_IMPORT_SECONDS)
        with contextlib.closing(stream):
            for piece in stream:
                archive.write(piece)
        archive.seek(0)
        target.call("POST", "/images/load", data=archive, seconds=_IMPORT_SECONDS)


def tag_image(connection: Connection, source: str, reference: str) -> None:
    """Give a local image another name."""
    name, tag = split_reference(reference)
    connection.call("POST", f"/images/{source}/tag", parameters={"repo": name, "tag": tag})


def untag_image(connection: Connection, tag: str) -> None:
    """Take a name from an image; the image goes with its last name. Nothing happens if it is gone."""
    try:
        connection.call("DELETE", f"/images/{tag}")
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise


def _tmp_is_empty(connection: Connection, image: str, labels: Mapping[str, str]) -> bool:
    """Whether the image has nothing in /tmp. Asks a container that is never started."""
    settings = {"Image": image, "Cmd": ["-"], "Labels": dict(labels), "HostConfig": {"NetworkMode": "none"}}
    container = connection.call("POST", "/containers/create", json=settings).json["Id"]
    try:
        if not_a_file(connection, container):
            return True  # it will not be started
        stream = connection.stream("GET", f"/containers/{container}/archive", parameters={"path": "/tmp"}, silence=60)
        with contextlib.closing(stream):
            return _entries(_beginning(stream)) <= 1
    except Refused as refused:
        if refused.status == _NOT_FOUND:  # there is no /tmp at all
            return True
        raise
    finally:
        remove_container(connection, container)


def _beginning(stream: Stream) -> bytes:
    data = b""
    for piece in stream:
        data += piece
        if len(data) >= _TAR_BEGINNING:
            break
    return data


def _entries(tar: bytes) -> int:
    """How many entries begin in this beginning of a tar, counted no further than the second."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
        return sum(archive.next() is not None for _ in range(2))


# ── objects of ours ─────────────────────────────────────────────────────────────────────

_LISTS: dict[Kind, tuple[str, dict[str, int]]] = {
    "container": ("/containers/json", {"all": 1}),
    "image": ("/images/json", {}),
    "volume": ("/volumes", {}),
    "network": ("/networks", {}),
}
"""Where each kind is listed. The order is that of removal: containers hold the others."""


def our_objects(connection: Connection, run: str | None = None) -> list[Leftover]:
    """Everything in the engine with our labels, in an order in which it can be removed; of one run, if given.

    An image that somebody has given names of their own, or has built on one of ours, has our labels too, and is theirs.
    """
    found = [one for kind in _LISTS for one in _objects(connection, kind, run)]
    return [one for one in found if one.kind != "image" or not one.names or _our_names(one)]


def _our_names(image: Leftover) -> list[str]:
    return [name for name in image.names if name.startswith(TAG_PREFIX)]


def _objects(connection: Connection, kind: Kind, run: str | None) -> list[Leftover]:
    path, parameters = _LISTS[kind]
    labels = [f"{KIND_LABEL}={kind}", *([f"{RUN_LABEL}={run}"] if run else [])]
    found = connection.call("GET", path, parameters={**parameters, "filters": json.dumps({"label": labels})}).json
    if kind == "volume":
        found = found.get("Volumes")
    return [_leftover(kind, details) for details in found or ()]


def _leftover(kind: Kind, details: Mapping[str, Any]) -> Leftover:
    names = details.get("RepoTags") or details.get("Names") or [details.get("Name")]
    return Leftover(
        kind=kind,
        id=str(details.get("Id") or details.get("Name")),
        names=tuple(str(name) for name in names if name and not str(name).startswith("<none>")),
        labels=tuple(sorted((details.get("Labels") or {}).items())),
    )


def remove_objects(connection: Connection, objects: Sequence[Leftover]) -> None:
    """Remove them all. What fails is tried again, since what holds it may just be going; then `EngineError`."""
    problems: list[Refused] = []
    for pause in (0.2, 1.0, 0.0):
        problems = [problem for one in objects if (problem := _removal_problem(connection, one))]
        if not problems:
            return
        time.sleep(pause)
    raise EngineError(
        "The engine did not remove all that the grader made: "
        + " ".join(str(problem) for problem in problems)
        + " Try `grader prune` later."
    )


def remove_run(connection: Connection, run: str) -> None:
    """Remove all objects of one run. Where the engine will not list them, it is asked again. `EngineError` at last."""
    for pause in (0.2, 1.0):
        with contextlib.suppress(Refused):
            remove_objects(connection, our_objects(connection, run))
            return
        time.sleep(pause)
    remove_objects(connection, our_objects(connection, run))


def _removal_problem(connection: Connection, one: Leftover) -> Refused | None:
    try:
        _remove_object(connection, one)
    except Refused as refused:
        return refused
    return None


def _remove_object(connection: Connection, one: Leftover) -> None:
    """Remove it; nothing happens if it is gone. Of an image, only names of ours are taken away."""
    if one.kind == "container":
        remove_container(connection, one.id)
        return
    if one.kind == "image":
        for name in _our_names(one) or ([] if one.names else [one.id]):
            untag_image(connection, name)
        return
    try:
        connection.call("DELETE", f"/{one.kind}s/{one.id}")
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise
