"""The base images students build FROM: local, else pulled, else built here from Debian packages.

::

    reference ─ in the engine? ─────────────────────────────────────────────▶ local, or built (by an earlier call)
              └ a registry has it? ─────────────────────────────────────────▶ pulled
              └ its name does not mean a Debian image? ─────────────────────▶ cannot be had here (`ImageUnavailable`)
              └ an image of that Debian release was built before? ─ tag it ─▶ built
              └ build one (recipes/build.sh, as root), import and tag it ───▶ built

An image built here carries labels (`LABEL_…`) that say so, and the name `grader-base:RELEASE`. It is built anew when
the recipe has changed since; if that fails, the earlier one stays in use. An image that somebody has made from one
inherits the labels, and is taken as it is like any other that was here before.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader.base_images.debootstrap import Make, Progress, Say, digest, make_file_system
from grader.course.models import BaseImage
from grader.dockerfile.image_names import is_allowed, normalised
from grader.engine.images import ImageStore
from grader.errors import ImageUnavailable

LABEL_BASE = "io.grader.base"
"""On every image built here: `debian-RELEASE`. Images that students build FROM it inherit it."""
LABEL_PYTHON = "io.grader.python"
"""The full version of its Python, such as `3.9.2`."""
LABEL_RECIPE = "io.grader.recipe"
"""A digest of the recipe it was built with; another recipe builds it anew."""

_OWN_LABELS = frozenset({LABEL_BASE, LABEL_PYTHON, LABEL_RECIPE})


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where a base image came from, for the report. `detail` completes it in words for a reader."""

    reference: str
    origin: Literal["local", "pulled", "built"]
    detail: str


def base_of(reference: str, bases: Iterable[BaseImage]) -> BaseImage | None:
    """Return the first base image that `reference` is a name of, or None if students may not build FROM it."""
    return next((base for base in bases if is_allowed(reference, base.names)), None)


def plain_names(base: BaseImage) -> tuple[str, ...]:
    """Return the names of a base image that are no patterns: what can be made present ahead of time."""
    return tuple(name for name in base.names if "*" not in name)


_DEBIAN_REPOSITORIES = {"python", "debian"}
_DEBIAN_WORDS = re.compile(r"\d[\d.]*(?:(?:a|b|rc)\d+)?|latest|slim|stable|buster|bullseye|bookworm|trixie|forky|sid")


def means_debian(reference: str) -> bool:
    """Whether an image's name means Debian, so that one built here may stand under it: not `alpine`, not `*-alpine`.

    The official Python images without another word in their tag are Debian's.
    """
    repository, _, tag = normalised(reference).rpartition(":")
    words = tag.split("-")
    return repository.rpartition("/")[2] in _DEBIAN_REPOSITORIES and all(map(_DEBIAN_WORDS.fullmatch, words))


class BaseImages:
    """Makes base images present in one engine.

    `say` gets one line for each step, and one every two seconds while something lasts. `cache` is a folder of the
    user's for locks, logs and working files. `environment` is where proxies, certificates and pip's settings are looked
    up when an image is built. After one pull that failed no other is tried, as long as this object lives. `make` makes
    the root file system of an image.
    """

    def __init__(
        self, store: ImageStore, *, say: Say, cache: Path, environment: Mapping[str, str], make: Make = make_file_system
    ) -> None:
        self._store = store
        self._make = make
        self._say = say
        self._cache = cache
        self._environment = environment
        self._may_pull = True

    def ensure_all(self, wanted: Iterable[tuple[BaseImage, str]]) -> tuple[ImageSource, ...]:
        """Make every (base, reference) present; the sources are in the given order.

        Raises `ImageUnavailable` for the first that cannot be had, and `EngineError`. What cannot be built comes last:
        that it cannot be had keeps nothing else from being made.
        """
        pairs = list(wanted)
        buildable_first = sorted(pairs, key=lambda pair: not means_debian(pair[1]))
        found = {reference: self.ensure(base, reference) for base, reference in buildable_first}
        return tuple(found[reference] for _, reference in pairs)

    def ensure(self, base: BaseImage, reference: str) -> ImageSource:
        """Make one reference of a base image present. Raises `ImageUnavailable` and `EngineError`."""
        present = self._store.image_labels(reference)
        if present is not None and not self._is_made_here(reference, present):
            return ImageSource(reference, "local", "was in the engine already")
        if (present is None or not means_debian(reference)) and self._pull(reference):
            return ImageSource(reference, "pulled", "pulled from a registry")
        if not means_debian(reference):
            raise ImageUnavailable(
                f"{reference} cannot be had here: no registry gave it, and what can be built here is Debian with"
                " Python, which is another system than that name means. Put the image into the engine yourself"
                " (`docker pull`, or `docker load` of a file), then grade again."
            )
        name, labels = self._built_image(base, reference)
        if name != reference:
            self._store.tag_image(name, reference)
        version = labels.get(LABEL_PYTHON, base.python)
        return ImageSource(reference, "built", f"Python {version} from packages of Debian {base.release}, built here")

    def _is_made_here(self, reference: str, labels: Mapping[str, str]) -> bool:
        """What is built here is imported: it has our labels and no others, and no image below it."""
        return LABEL_BASE in labels and labels.keys() <= _OWN_LABELS and not self._store.is_derived(reference)

    def _pull(self, reference: str) -> bool:
        if not self._may_pull:
            return False
        asking = f"{reference}: asking the registry"
        self._say(asking)
        with Progress(self._say, asking):
            self._may_pull = self._store.pull(reference)
        if not self._may_pull:
            self._say(f"{reference}: no registry gave it")
        return self._may_pull

    def _built_image(self, base: BaseImage, reference: str) -> tuple[str, Mapping[str, str]]:
        """Return name and labels of an image of this release, built now or before."""
        name = f"grader-base:{base.release}"
        known = {one: labels for one in (name, reference) if (labels := self._store.image_labels(one)) is not None}
        for one, labels in known.items():
            if labels.get(LABEL_RECIPE) == digest():
                return one, labels
        try:
            return name, self._build_alone(base, name, known.get(name))
        except ImageUnavailable as problem:
            if not known:
                raise
            self._say(f"Debian {base.release}: the image of an earlier recipe stays in use. {problem}")
            return next(iter(known.items()))

    def _build_alone(self, base: BaseImage, name: str, earlier: Mapping[str, str] | None) -> Mapping[str, str]:
        """Build an image, or find the one that another grader has built while this one waited for it."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with self._only_one(base.release):
            labels = self._store.image_labels(name)
            if labels is None or labels == earlier:
                self._build(base, name)
                labels = self._store.image_labels(name)
        if labels is None:
            raise ImageUnavailable(
                f"The engine took the base image {name} and does not have it. Is another program removing images?"
                " Run `grader images` again."
            )
        return labels

    @contextlib.contextmanager
    def _only_one(self, release: str) -> Iterator[None]:
        """Hold the lock of a release: one grader builds, others wait. The kernel frees it when its holder dies."""
        import fcntl  # not on Windows, where nothing can be built, but what is local or pulled can be used

        with (self._cache / f"{release}.lock").open("w") as lock:
            with Progress(self._say, f"Debian {release}: waiting for another grader, which is building this image"):
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build(self, base: BaseImage, name: str) -> None:
        """Make a root file system and import it. Nothing but a log is left behind, however this ends."""
        with tempfile.TemporaryFile(dir=self._cache) as archive:
            version, variables = self._make(base, archive, self._cache, self._environment, self._say)
            archive.seek(0)
            self._say(f"Debian {base.release}: handing the image to the engine")
            self._store.import_image(archive, name, configuration(base.release, version, variables))


def configuration(release: str, version: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the configuration of an image built here: that of an official one, `variables`, our labels."""
    quoted = {name: json.dumps(value).replace("$", "\\$") for name, value in variables.items()}
    return (
        'CMD ["python3"]',
        "WORKDIR /",
        "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV LANG=C.UTF-8",
        f"ENV PYTHON_VERSION={version}",
        *(f"ENV {name}={value}" for name, value in quoted.items()),
        f"LABEL {LABEL_BASE}=debian-{release}",
        f"LABEL {LABEL_PYTHON}={version}",
        f"LABEL {LABEL_RECIPE}={digest()}",
    )
