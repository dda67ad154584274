"""What base images need of the engine: look, import, tag, and a pull that gives up."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.base_images.provider import BaseImages
from grader.course.models import BaseImage
from grader.engine.docker_engine import DockerEngine
from grader.engine.images import untag_image
from grader.engine.tar import write_tar
from grader.models import MemoryFile
from tests.engine.contexts import BASE, make_job

pytestmark = pytest.mark.engine


@pytest.fixture
def name(engine: DockerEngine) -> Iterator[str]:
    made = f"grader-test-{uuid.uuid4().hex[:12]}/python"
    yield f"{made}:3.9"
    for tag in ("3.9", "two"):
        untag_image(engine.connection, f"{made}:{tag}")


def test_an_image_is_imported_and_tagged(engine: DockerEngine, name: str) -> None:
    assert engine.image_labels(name) is None
    archive = write_tar([MemoryFile("file", os.urandom(2**20))], modified=0)
    engine.import_image(io.BytesIO(archive), name, ["LABEL io.grader.test=a", "ENV A=b"])
    other = name.replace(":3.9", ":two")
    engine.tag_image(name, other)
    assert engine.image_labels(name) == engine.image_labels(other) == {"io.grader.test": "a"}


@pytest.fixture
def ensure(engine: DockerEngine, name: str, tmp_path: Path) -> Callable[[], str]:
    """Makes `name` present as a base image; where it came from."""
    if "io.grader.base" not in (engine.image_labels(BASE) or {}):
        pytest.skip(f"{BASE} was not built here")
    base = BaseImage(names=(name,), python="3.9", release="bullseye")
    return lambda: BaseImages(engine, say=print, cache=tmp_path, environment={}).ensure(base, name).origin


@pytest.mark.parametrize("steps", ["ENV MINE=1\n", "RUN true\n", "CMD true\n", "LABEL mine=1\n"])
@pytest.mark.parametrize("builder", ["2", "1"], ids=["buildkit", "classic"])
def test_a_users_image_made_from_a_base_image_of_ours_keeps_its_name(
    engine: DockerEngine, name: str, ensure: Callable[[], str], steps: str, builder: str
) -> None:
    job = make_job(f"FROM {BASE}\n{steps}")
    parameters = {"t": name, "version": builder}
    with contextlib.closing(
        engine.connection.stream("POST", "/build", parameters=parameters, data=job.context, silence=120)
    ) as stream:
        list(stream)
    before = engine.connection.call("GET", f"/images/{name}/json").json["Id"]
    assert ensure() == "local"
    assert engine.connection.call("GET", f"/images/{name}/json").json["Id"] == before


def test_a_base_image_of_ours_is_known_under_any_name_that_means_debian(
    engine: DockerEngine, name: str, ensure: Callable[[], str]
) -> None:
    engine.tag_image(BASE, name)
    assert ensure() == "built"


def test_an_image_that_no_registry_has_is_not_pulled(engine: DockerEngine) -> None:
    assert engine.pull("grader.invalid/no-such-image:1") is False
