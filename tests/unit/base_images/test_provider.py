"""Base images: where one comes from, what happens when that fails, and what goes along from the host."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from grader.base_images.debootstrap import Make, Progress, Say
from grader.base_images.host import certificates, host_settings, pip_conf, pip_settings
from grader.base_images.provider import (
    LABEL_BASE,
    LABEL_PYTHON,
    LABEL_RECIPE,
    BaseImages,
    base_of,
    plain_names,
)
from grader.course.models import BaseImage
from grader.engine.images import ImageStore
from grader.errors import ImageUnavailable

BULLSEYE = BaseImage(names=("python:3.9", "python:3.9-slim", "python:3.9.*"), python="3.9", release="bullseye")
BOOKWORM = BaseImage(names=("python:3.11", "python:3.11-slim"), python="3.11", release="bookworm")
OLD = {LABEL_BASE: "debian-bullseye", LABEL_PYTHON: "3.9.0", LABEL_RECIPE: "an earlier one"}


@dataclass(eq=False)
class Store(ImageStore):
    """An engine's images in a dictionary: labels by name. Registries have what `registry` holds."""

    images: dict[str, dict[str, str]] = field(default_factory=dict)
    registry: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)
    imported: list[bytes] = field(default_factory=list)

    def image_labels(self, reference: str) -> dict[str, str] | None:
        return self.images.get(reference)

    def is_derived(self, reference: str) -> bool:
        return reference in self.derived

    def pull(self, reference: str) -> bool:
        self.asked.append(reference)
        if reference in self.registry:
            self.images[reference] = {}
        return reference in self.registry

    def import_image(self, archive: IO[bytes], reference: str, changes: Sequence[str]) -> None:
        self.imported.append(archive.read())
        labels = [change.removeprefix("LABEL ").partition("=") for change in changes if change.startswith("LABEL ")]
        self.images[reference] = {name: value for name, _, value in labels}

    def tag_image(self, source: str, reference: str) -> None:
        self.images[reference] = self.images[source]


def makes(base: BaseImage, archive: IO[bytes], *_: object) -> tuple[str, dict[str, str]]:
    archive.write(base.release.encode())
    return f"{base.python}.99", {"UV_INDEX": "https://one.invalid"}


def fails(base: BaseImage, *_: object) -> tuple[str, dict[str, str]]:
    raise ImageUnavailable(f"no packages for {base.release}")


Supply = Callable[..., BaseImages]


@pytest.fixture
def supply(tmp_path: Path) -> Supply:
    def make_supply(store: Store, make: Make = makes, say: Say = lambda _: None) -> BaseImages:
        return BaseImages(store, say=say, cache=tmp_path / "cache", environment={}, make=make)

    return make_supply


# ── where an image comes from ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("store", "origin"),
    [
        (Store({"python:3.9": {"maintainer": "somebody"}}), "local"),
        (Store({"python:3.9": OLD}, derived=("python:3.9",)), "local"),
        (Store({"python:3.9": {**OLD, "maintainer": "somebody"}}), "local"),
        (Store(registry=("python:3.9",)), "pulled"),
    ],
    ids=["somebody's", "made from ours by steps", "made from ours by a label", "a registry's"],
)
def test_what_is_there_or_in_a_registry_is_taken_as_it_is(supply: Supply, store: Store, origin: str) -> None:
    before = dict(store.images)
    assert supply(store, fails).ensure(BULLSEYE, "python:3.9").origin == origin
    assert (store.images, store.asked) == ((before, []) if origin == "local" else ({"python:3.9": {}}, ["python:3.9"]))


def test_without_a_registry_it_is_built_and_labelled(supply: Supply) -> None:
    store = Store()
    source = supply(store).ensure(BULLSEYE, "python:3.9-slim")
    assert (source.origin, source.detail) == ("built", "Python 3.9.99 from packages of Debian bullseye, built here")
    assert store.imported == [b"bullseye"]
    assert store.images["python:3.9-slim"][LABEL_BASE] == "debian-bullseye"


def test_one_build_and_one_question_serve_all_names_of_a_release(supply: Supply) -> None:
    store = Store()
    images = supply(store)
    sources = images.ensure_all([(BULLSEYE, name) for name in ("python:3.9", "python:3.9-slim", "python:3.9.7")])
    assert [source.reference for source in sources] == ["python:3.9", "python:3.9-slim", "python:3.9.7"]
    assert (len(store.imported), store.asked) == (1, ["python:3.9"])


@pytest.mark.parametrize("removed", ["python:3.9", "grader-base:bullseye"])
def test_while_one_name_of_it_is_left_it_is_not_built_again(supply: Supply, removed: str) -> None:
    store = Store()
    supply(store).ensure(BULLSEYE, "python:3.9")
    del store.images[removed]
    assert supply(store, fails).ensure(BULLSEYE, "python:3.9").origin == "built"
    assert "python:3.9" in store.images


DEBIAN = (
    "python:3.9", "python", "docker.io/library/python:3.13.0rc2-slim-bookworm", "debian:bookworm-slim",
    "registry.example/course/python:3.9.18-slim",
)  # fmt: skip
OTHERS = (
    "python:3.9-alpine", "python:3.9-alpine3.18", "python:3.9-windowsservercore", "alpine:3.19", "busybox",
    "ubuntu:22.04", "jupyter/scipy-notebook:python-3.9", "pypy:3.9", "python@sha256:" + "0" * 64,
)  # fmt: skip


@pytest.mark.parametrize("images", [{}, OLD], ids=["new", "an earlier version has put one there"])
@pytest.mark.parametrize("reference", [*DEBIAN, *OTHERS])
def test_debian_stands_only_under_a_name_that_means_debian(
    supply: Supply, reference: str, images: dict[str, str]
) -> None:
    store = Store({reference: images} if images else {})
    if reference in DEBIAN:
        assert supply(store).ensure(BULLSEYE, reference).origin == "built"
        return
    with pytest.raises(ImageUnavailable, match="cannot be had here"):
        supply(store).ensure(BULLSEYE, reference)
    assert store.imported == []
    store.registry = (reference,)
    assert supply(store, fails).ensure(BULLSEYE, reference).origin == "pulled"


# ── when something fails ────────────────────────────────────────────────────────────────


def test_an_image_that_cannot_be_had_is_an_error_of_the_environment(supply: Supply) -> None:
    store = Store()
    with pytest.raises(ImageUnavailable, match="no packages for bullseye"):
        supply(store, fails).ensure(BULLSEYE, "python:3.9")
    assert store.images == {}


def test_another_recipe_builds_anew(supply: Supply) -> None:
    store = Store({"grader-base:bullseye": OLD, "python:3.9": OLD, "python:3.9-slim": OLD})
    supply(store).ensure_all([(BULLSEYE, "python:3.9"), (BULLSEYE, "python:3.9-slim")])
    assert store.asked == []
    assert {labels[LABEL_PYTHON] for labels in store.images.values()} == {"3.9.99"}
    assert len(store.imported) == 1


def test_an_image_of_an_earlier_recipe_is_better_than_none(supply: Supply) -> None:
    said: list[str] = []
    store = Store({"grader-base:bullseye": OLD, "python:3.9": OLD})
    assert supply(store, fails, said.append).ensure(BULLSEYE, "python:3.9").detail.startswith("Python 3.9.0 ")
    assert any("earlier recipe stays" in line for line in said)


def test_two_graders_build_one_image(supply: Supply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.base_images.debootstrap._SPEAKS_EVERY", 0.01)
    store = Store()
    second_waits = threading.Event()

    def slowly(base: BaseImage, archive: IO[bytes], *_: object) -> tuple[str, dict[str, str]]:
        assert second_waits.wait(60)
        return makes(base, archive)

    def listen(line: str) -> None:
        if "another grader" in line:
            second_waits.set()

    with ThreadPoolExecutor() as pool:
        both = [pool.submit(supply(store, slowly, listen).ensure, BULLSEYE, "python:3.9") for _ in range(2)]
    assert [one.result().origin for one in both] == ["built", "built"]
    assert len(store.imported) == 1


def test_names_of_base_images() -> None:
    assert base_of("python:3.9.18-slim", [BOOKWORM, BULLSEYE]) is BULLSEYE
    assert base_of("python:3.12", [BOOKWORM, BULLSEYE]) is None
    assert plain_names(BULLSEYE) == ("python:3.9", "python:3.9-slim")


# ── what is said meanwhile ──────────────────────────────────────────────────────────────


def test_many_lines_become_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grader.base_images.debootstrap._SPEAKS_EVERY", 0.01)
    lines = {
        "I: Retrieving libc6 2.31-13": "retrieving libc6 2.31-13",
        "I: Unpacking libc6:amd64...": "unpacking libc6:amd64",
        "noise": "unpacking libc6:amd64",
    }
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    with Progress(said.put, "Debian bullseye") as progress:
        for line, told in lines.items():
            progress.read(line)
            while said.get(timeout=60) != f"Debian bullseye: {told} (0 s)":
                pass


# ── what goes along from the host ───────────────────────────────────────────────────────

MIRROR = "index-url = https://mirror.invalid/simple"
PIP_CASES = {
    # pip's file, variables, what goes along besides the certificates, notes
    "nothing": ("", {}, "", []),
    "a mirror": (f"[global]\n{MIRROR}\n", {}, MIRROR, []),
    "for installing only": ("[install]\ntrusted-host = mirror.invalid\n", {}, "trusted-host = mirror.invalid", []),
    "a variable counts more": (
        "[global]\nindex-url = https://one.invalid\n", {"PIP_INDEX_URL": "https://mirror.invalid/simple"}, MIRROR, [],
    ),
    "more patience than a build has": ("[global]\ntimeout = 180\nretries = 7\n", {}, "timeout = 15\nretries = 7", []),
    "no number": ("[global]\ntimeout = soon\n", {}, "timeout = soon", []),
    "folders of this host": (
        "[global]\nfind-links = /srv/wheels\nextra-index-url = file:///srv/simple https://more.invalid/simple\n",
        {"PIP_FIND_LINKS": "/srv/wheels"},
        "extra-index-url = https://more.invalid/simple",
        ["pip's extra-index-url is not taken along: it is a place on this machine's disk"],
    ),
    "this very machine": (
        "[global]\nindex-url = http://localhost:3141/simple\nextra-index-url = http://127.0.0.5/simple http://[::1]/simple\n",
        {},
        "",
        [f"pip's {prefix}index-url is not taken along: it is an address of this machine" for prefix in ("", "extra-")],
    ),
    "a password": (
        "[global]\nindex-url = https://me:secret@mirror.invalid/simple\n", {}, "",
        ["pip's index-url is not taken along: it holds a name or a password, which students could read in the image"],
    ),
    "several addresses": (
        "[global]\nextra-index-url =\n    https://one.invalid\n    https://two.invalid\n", {},
        "extra-index-url = https://one.invalid\n    https://two.invalid", [],
    ),
    "a percent sign": ("[global]\nindex-url = https://a.invalid/%2F\n", {}, "index-url = https://a.invalid/%2F", []),
    "a broken file": (
        "index-url without a section\n", {}, "",
        ["PATH is not taken along: File contains no section headers."],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "variables", "expected", "notes"), PIP_CASES.values(), ids=PIP_CASES)
def test_of_pips_configuration_goes_along_what_is_true_in_an_image(
    tmp_path: Path, text: str, variables: dict[str, str], expected: str, notes: list[str]
) -> None:
    (tmp_path / "pip.conf").write_text(text, encoding="utf-8")
    settings, found = pip_settings([tmp_path / "missing.conf", tmp_path / "pip.conf"], variables)
    lines = ["[global]", "cert = /etc/ssl/certs/ca-certificates.crt", *([expected] if expected else []), ""]
    assert pip_conf(settings) == "\n".join(lines)
    assert [note.replace(str(tmp_path / "pip.conf"), "PATH") for note in found] == notes


def test_other_installers_read_the_same_settings_from_variables(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path),
        "PIP_INDEX_URL": "https://one.invalid/simple",
        "PIP_EXTRA_INDEX_URL": "https://two.invalid https://three.invalid",
    }
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    expected = {
        "SSL_CERT_FILE": bundle,
        "REQUESTS_CA_BUNDLE": bundle,
        "PIP_CERT": bundle,
        "UV_DEFAULT_INDEX": "https://one.invalid/simple",
        "UV_INDEX": "https://two.invalid https://three.invalid",
        "PIPENV_PYPI_MIRROR": "https://one.invalid/simple",
    }
    assert expected.items() <= host_settings(environment).installers.items()


def test_certificates_go_along_once_and_keys_never(tmp_path: Path) -> None:
    one = "-----BEGIN CERTIFICATE-----\nT05F\n-----END CERTIFICATE-----"
    key = "-----BEGIN PRIVATE KEY-----\nS0VZ\n-----END PRIVATE KEY-----"
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(f"# a proxy's\n{one}\n{key}\n{one}\n", encoding="ascii")
    found = certificates({"SSL_CERT_FILE": str(bundle), "PIP_CERT": str(tmp_path / "missing.pem")})
    assert found.startswith(one)
    assert found.count(one) == 1
    assert "PRIVATE" not in found
