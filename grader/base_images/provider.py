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
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

from grader.base_images import debootstrap as imagerecipe
from grader.base_images.debootstrap import (
    BEAT_SECONDS,
    HEARTBEAT_SECONDS,
    Make,
    Progress,
    Workplace,
    make_file_system,
    with_heartbeat,
)
from grader.base_images.host import image_environment
from grader.course.models import BaseImage
from grader.dockerfile.image_names import is_allowed, normalised
from grader.errors import ImageUnavailable

LABEL_BASE = "io.grader.base"
"""On every image built here: `debian-RELEASE`. Images that students build FROM it inherit it."""
LABEL_PYTHON = "io.grader.python"
"""The full version of its Python, such as `3.9.2`."""
LABEL_RECIPE = "io.grader.recipe"
"""A digest of the recipe it was built with; another recipe builds it anew."""

_OWN_LABELS = frozenset({LABEL_BASE, LABEL_PYTHON, LABEL_RECIPE})


class ImageStore(Protocol):
    """The part of an engine that base images need. Its methods raise `EngineError` for the engine's own faults."""

    def image_labels(self, reference: str) -> dict[str, str] | None:
        """Return the labels of an image in the engine, or None if it has none of that name; no network."""
        ...

    def is_derived(self, reference: str) -> bool:
        """Whether an image of the engine was made from another one, by a Dockerfile or a commit."""
        ...

    def pull(self, reference: str) -> bool:
        """Pull an image; False if it could not be had. Should give up within seconds where no registry answers."""
        ...

    def import_image(self, archive: IO[bytes], reference: str, changes: Sequence[str]) -> None:
        """Make an image of one layer from a tar of a root file system; `changes` are Dockerfile instructions."""
        ...

    def tag_image(self, source: str, reference: str) -> None:
        """Give the image named `source` another name, taking it from the image that had it."""
        ...


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

    `say` gets one line for each step, at least one every two seconds while something lasts, possibly from several
    threads but never from two at once. `cache` is a folder of the user's for locks, logs and working files.
    `environment` is where proxies, certificates and pip's settings are looked up when an image is built. After one
    pull that failed no other is tried, as long as this object lives. `make` makes the root file system of an image.
    """

    def __init__(
        self,
        store: ImageStore,
        *,
        say: Callable[[str], None],
        cache: Path,
        environment: Mapping[str, str],
        make: Make = make_file_system,
    ) -> None:
        self._store = store
        self._make = make
        self._say = say
        self._cache = cache
        self._environment = environment
        self._may_pull = True
        self._speaking = threading.Lock()
        self._stop = threading.Event()

    def ensure_all(self, wanted: Iterable[tuple[BaseImage, str]]) -> tuple[ImageSource, ...]:
        """Make every (base, reference) present, those of different Debian releases at the same time.

        Returns the sources in the given order. Raises `ImageUnavailable` for the first that cannot be had, and
        `EngineError`; whatever else is under way is stopped and removed then, and also when the call is interrupted.
        """
        self._stop.clear()
        groups: dict[str, dict[str, BaseImage]] = {}
        pairs = list(wanted)
        for base, reference in pairs:
            if means_debian(reference):
                groups.setdefault(base.release, {})[reference] = base

        def ensure_group(group: Mapping[str, BaseImage]) -> list[ImageSource]:
            return [self.ensure(base, reference) for reference, base in group.items()]

        found: dict[str, ImageSource] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(groups))) as pool:
            try:
                for sources in [pool.submit(ensure_group, group) for group in groups.values()]:
                    found |= {source.reference: source for source in sources.result()}
            except BaseException:  # an interrupt too must stop the other builds: leaving the pool waits for them
                self._stop.set()
                raise
        # What cannot be built comes last: that it cannot be had keeps nothing else from being made.
        found |= {reference: self.ensure(base, reference) for base, reference in pairs if not means_debian(reference)}
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

    def _announce(self, line: str) -> None:
        with self._speaking:
            self._say(line)

    def _check_stopped(self) -> None:
        if self._stop.is_set():
            raise ImageUnavailable("Making the base images present was stopped.")

    def _pull(self, reference: str) -> bool:
        if not self._may_pull:
            return False
        progress = Progress(f"{reference}: asking the registry")
        self._announce(f"{reference}: asking the registry")
        pulled = False

        def outcome() -> Iterator[str]:
            nonlocal pulled
            pulled = self._store.pull(reference)
            yield from ()

        for line in with_heartbeat(outcome(), BEAT_SECONDS):
            self._check_stopped()
            if message := progress.read(line):
                self._announce(message)
        if not pulled:
            self._may_pull = False
            self._announce(f"{reference}: no registry gave it")
        return pulled

    def _built_image(self, base: BaseImage, reference: str) -> tuple[str, Mapping[str, str]]:
        """Return name and labels of an image of this release, built now or before."""
        name = f"grader-base:{base.release}"
        known = {one: labels for one in (name, reference) if (labels := self._store.image_labels(one)) is not None}
        current = imagerecipe.digest()
        for one, labels in known.items():
            if labels.get(LABEL_RECIPE) == current:
                return one, labels
        try:
            return name, self._build_alone(base, name, known.get(name))
        except ImageUnavailable as problem:
            if not known or self._stop.is_set():
                raise
            self._announce(f"Debian {base.release}: the image of an earlier recipe stays in use. {problem}")
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
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._check_stopped()
                    self._announce(f"Debian {release}: another grader is building this image, waiting for it")
                    self._stop.wait(HEARTBEAT_SECONDS)
            yield

    def _build(self, base: BaseImage, name: str) -> None:
        """Make a root file system and import it. Nothing but a log is left behind, however this ends."""
        place = Workplace(self._cache, self._environment, self._announce, self._check_stopped)
        with tempfile.TemporaryFile(dir=self._cache) as archive:
            version = self._make(base, archive, place)
            archive.seek(0)
            self._announce(f"Debian {base.release}: handing the image to the engine")
            self._store.import_image(
                archive, name, configuration(base.release, version, image_environment(self._environment))
            )


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
        f"LABEL {LABEL_RECIPE}={imagerecipe.digest()}",
    )
