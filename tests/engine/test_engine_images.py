"""What base images need of the engine: look, import, tag, and a pull that gives up."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import uuid
from collections.abc import Iterator

import pytest

from grader.engine import DockerEngine
from grader.enginestore import untag_image

pytestmark = pytest.mark.engine


@pytest.fixture
def name(engine: DockerEngine) -> Iterator[str]:
    made = f"grader-test-{uuid.uuid4().hex[:12]}"
    yield f"{made}:one"
    for tag in ("one", "two"):
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
    other = name.replace(":one", ":two")
    engine.tag_image(name, other)
    assert engine.image_labels(other) == {"io.grader.test": "a"}


def test_an_image_that_no_registry_has_is_not_pulled(engine: DockerEngine) -> None:
    assert engine.pull("grader.invalid/no-such-image:1") is False
