"""What base images need of the engine: look, import, tag, and a pull that gives up."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.base_images.provider import BaseImages
from grader.course.models import BaseImage
from grader.engine.docker_engine import DockerEngine
from grader.engine.images import untag_image
from tests.engine.contexts import BASE, make_job

pytestmark = pytest.mark.engine


@pytest.fixture
def name(engine: DockerEngine) -> Iterator[str]:
    made = f"grader-test-{uuid.uuid4().hex[:12]}/python"
    yield f"{made}:3.9"
    for tag in ("3.9", "two"):
        untag_image(engine._connection, f"{made}:{tag}")


def piped(data: bytes) -> io.BufferedReader:
    """A file that cannot be sought in, as the output of a program is."""
    read, write = os.pipe()

    def feed() -> None:
        with os.fdopen(write, "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=feed, daemon=True).start()
    return os.fdopen(read, "rb")


def test_an_image_is_imported_and_tagged(engine: DockerEngine, name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("file")
        entry.size = 2**20
        archive.addfile(entry, io.BytesIO(os.urandom(2**20)))
    assert engine.image_labels(name) is None
    with piped(buffer.getvalue()) as source:
        engine.import_image(source, name, ["LABEL io.grader.test=a", "ENV A=b"])
    assert engine.image_labels(name) == {"io.grader.test": "a"}
    other = name.replace(":3.9", ":two")
    engine.tag_image(name, other)
    assert engine.image_labels(other) == {"io.grader.test": "a"}


@pytest.mark.parametrize("steps", ["ENV MINE=1\n", "RUN true\n", "CMD true\n", "LABEL mine=1\n"])
@pytest.mark.parametrize("builder", ["2", "1"], ids=["buildkit", "classic"])
def test_a_users_image_made_from_a_base_image_of_ours_keeps_its_name(
    engine: DockerEngine, name: str, tmp_path: Path, steps: str, builder: str
) -> None:
    if "io.grader.base" not in (engine.image_labels(BASE) or {}):
        pytest.skip(f"{BASE} was not built here")
    _built(engine, name, f"FROM {BASE}\n{steps}", builder)
    before = engine.connection.call("GET", f"/images/{name}/json").json["Id"]
    base = BaseImage(names=(name,), python="3.9", release="bullseye")
    supply = BaseImages(engine, say=print, cache=tmp_path, environment={})
    assert supply.ensure(base, name).origin == "local"
    assert engine.connection.call("GET", f"/images/{name}/json").json["Id"] == before


def test_a_base_image_of_ours_is_known_under_any_name_that_means_debian(
    engine: DockerEngine, name: str, tmp_path: Path
) -> None:
    if "io.grader.base" not in (engine.image_labels(BASE) or {}):
        pytest.skip(f"{BASE} was not built here")
    engine.tag_image(BASE, name)
    base = BaseImage(names=(name,), python="3.9", release="bullseye")
    assert BaseImages(engine, say=print, cache=tmp_path, environment={}).ensure(base, name).origin == "built"


def _built(engine: DockerEngine, name: str, dockerfile: str, version: str) -> None:
    parameters = {"t": name, "version": version}
    stream = engine.connection.stream(
        "POST", "/build", parameters=parameters, data=make_job(dockerfile).context, silence=120
    )
    with contextlib.closing(stream):
        list(stream)


def test_an_image_that_no_registry_has_is_not_pulled(engine: DockerEngine) -> None:
    assert engine.pull("grader.invalid/no-such-image:1") is False
