"""The image that private engines run from: Docker's engine on a Debian file system, built once and kept.

The engine that runs them builds it, from Debian packages, on one of the course's base images: so it can be had wherever
those can, without root on the grader's machine.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from grader.base_images.host import host_settings
from grader.base_images.provider import LABEL_BASE, LABEL_RECIPE
from grader.course.models import Limits
from grader.engine.build.context import make_job
from grader.engine.docker_engine import DockerEngine
from grader.engine.http import Refused
from grader.engine.images import untag_image
from grader.errors import ImageUnavailable
from grader.models import BuildFailed, BuildStep, MemoryFile
from grader.submissions.models import ExerciseFiles

RELEASE = "trixie"
"""The Debian release whose engine is used: Docker 26.1 and Compose 2.26, whatever the host has."""

_NAME = "grader-private:"
_FILES = (
    *sorted((Path(__file__).parent / "nested").iterdir()),
    *(Path(__file__).parents[1] / "base_images" / "recipes" / name for name in ("apt.conf", "dpkg.cfg", "wgetrc")),
)
"""What the image is made from, with the settings of the machine."""
_THIS_MACHINE = ("//localhost", "//127.", "//[::1]")
"""Addresses of the grader's machine, which mean another one in a build."""
_LIMITS = Limits(build_seconds=1800, build_output_kb=16 * 1024)
_LOG_LINES_SHOWN = 8


def recipe_digest() -> str:
    """Return 12 hexadecimal digits that change with any file the image is made from."""
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in _FILES if path.is_file()]
    return hashlib.sha256("\n".join([RELEASE, *lines]).encode()).hexdigest()[:12]


def image_name() -> str:
    """Return the name of the image that this version of the recipe makes."""
    return f"{_NAME}{recipe_digest()}"


def engine_image(host: DockerEngine, base: str, *, say: Callable[[str], None], environment: Mapping[str, str]) -> str:
    """Return the name of the image in `host`, which is built now (a minute or two) if it is not there.

    The caller holds a lock if others may ask at the same time. `base` is a base image in `host`, with Debian in it;
    `say` takes lines for the reader; proxies and package archives are looked up in `environment`. Raises
    `ImageUnavailable` where it cannot be built, and `EngineError`.
    """
    name = image_name()
    if host.image_labels(name) is not None:
        return name
    say(f"private engine: building its image from packages of Debian {RELEASE}, a minute or two")

    def step_ended(step: BuildStep) -> None:
        log.extend(step.log.splitlines())

    log: list[str] = []
    job = make_job(ExerciseFiles("", "", (*_recipe(base, environment),), ""), (), "private-engine")
    built = job if isinstance(job, BuildFailed) else host.build(job, _LIMITS, step_ended)
    if isinstance(built, BuildFailed):
        ending = "\n".join(f"    {line}" for line in log[-_LOG_LINES_SHOWN:])
        raise ImageUnavailable(
            f"The image of the private engine could not be built on {base}: {built.message} If downloads failed, check "
            f"the network and the variables http_proxy and https_proxy, and try again. The log ends:\n{ending}"
        )
    host.tag_image(built.image, name)
    host.remove_image(built.image)
    _remove_earlier_images(host)
    return name


def _recipe(base: str, environment: Mapping[str, str]) -> Iterable[MemoryFile]:
    """Yield the files of the build: those of the recipe, and what the grader's machine knows of packages."""
    for path in _FILES:
        content = path.read_bytes()
        if path.name == "Dockerfile":
            labels = f"LABEL {LABEL_BASE}=private-engine {LABEL_RECIPE}={recipe_digest()}\n"
            content = content.replace(b"ARG BASE\n", f"ARG BASE={base}\n".encode()) + labels.encode()
        yield MemoryFile(path.name, content)
    known = {**host_settings(environment).variables, "RELEASE": RELEASE}
    del known["PATH"]
    reachable = {key: value for key, value in known.items() if not any(one in value for one in _THIS_MACHINE)}
    settings = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in reachable.items())
    yield MemoryFile("settings.sh", settings.encode())


def _remove_earlier_images(host: DockerEngine) -> None:
    """Remove the images of other recipes, unless a private engine of somebody runs from one."""
    filters = json.dumps({"label": [f"{LABEL_BASE}=private-engine"]})
    for image in host.connection.call("GET", "/images/json", parameters={"filters": filters}).json:
        names = {name for name in image.get("RepoTags") or () if name.startswith(_NAME)}  # others' names are theirs
        for name in names - {image_name()}:
            with suppress(Refused):  # in use
                untag_image(host.connection, name)
