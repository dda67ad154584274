"""The image that private engines run from: Docker's engine on a Debian file system, made once and kept.

The recipe is that of the base images (`recipes/build.sh`) with another inner part, `privateengine/inside.sh`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from grader.base_images import host as imagehost
from grader.base_images.debootstrap import Workplace, _run
from grader.base_images.provider import LABEL_BASE, LABEL_RECIPE
from grader.engine.http import Connection, Refused
from grader.engine.images import image_labels, import_image, untag_image
from grader.errors import ImageUnavailable

RELEASE = "trixie"
"""The Debian release whose engine is used: Docker 26.1 and Compose 2.26, whatever the host has."""

_NAME = "grader-private:"
_OWN = Path(__file__).parent / "nested"
_SHARED = Path(__file__).parents[1] / "base_images" / "recipes"
_SHARED_FILES = ("build.sh", "apt.conf", "dpkg.cfg", "wgetrc")
"""What of the base images' recipe this image is made from; a change of the rest makes no difference to it."""


def recipe_digest() -> str:
    """Return 12 hexadecimal digits that change with any file the image is made from."""
    paths = [*sorted(_OWN.iterdir()), *(_SHARED / name for name in _SHARED_FILES)]
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in paths if path.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def image_name() -> str:
    """Return the name of the image that this version of the recipe makes."""
    return f"{_NAME}{recipe_digest()}"


def engine_image(host: Connection, *, say: Callable[[str], None], cache: Path, environment: Mapping[str, str]) -> str:
    """Return the name of the image in `host`, which is made now (about a minute) if it is not there.

    The caller holds a lock if others may ask at the same time. `say` takes lines for the reader, `cache` is a folder
    for logs and working files, proxies and package archives are looked up in `environment`. Raises
    `ImageUnavailable` where it cannot be made, and `EngineError`.
    """
    name = image_name()
    if image_labels(host, name) is not None:
        return name
    with tempfile.TemporaryFile(dir=cache) as archive:
        place = Workplace(cache, environment, say, lambda: None)
        version = _make_file_system(archive, place)
        archive.seek(0)
        say(f"private engine: handing Docker {version} to the engine")
        labels = f"LABEL {LABEL_BASE}=private-engine {LABEL_RECIPE}={recipe_digest()}"
        import_image(host, archive, name, ['CMD ["private-engine"]', labels])
    _remove_earlier_images(host)
    return name


def _remove_earlier_images(host: Connection) -> None:
    """Remove the images of other recipes, unless a private engine of somebody runs from one."""
    filters = json.dumps({"label": [f"{LABEL_BASE}=private-engine"]})
    for image in host.call("GET", "/images/json", parameters={"filters": filters}).json:
        names = {name for name in image.get("RepoTags") or () if name.startswith(_NAME)}  # others' names are theirs
        for name in names - {image_name()}:
            with contextlib.suppress(Refused):  # in use
                untag_image(host, name)


def _make_file_system(archive: IO[bytes], place: Workplace) -> str:
    """Write the root file system as a tar; return the engine's version."""
    administrator = imagehost.as_administrator(place.environment)
    imagehost.check_tools(place.environment)
    place.say(f"private engine: making its image from packages of Debian {RELEASE}, about a minute")
    host = imagehost.host_settings(place.environment)
    with tempfile.TemporaryDirectory(dir=place.cache) as folder:
        recipes = Path(folder) / "recipes"
        shutil.copytree(_SHARED, recipes, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(_OWN, recipes, dirs_exist_ok=True)
        imagehost.write_settings(host, Path(folder))
        variables = {
            **host.variables,
            "RELEASE": RELEASE,
            "PYTHON": "",
            "ROOT": str(place.cache.resolve() / "root-private"),
            "HOST": folder,
        }
        settings = [f"{name}={value}" for name, value in variables.items()]
        try:
            return _run("private", [*administrator, "env", *settings, "sh", str(recipes / "build.sh")], archive, place)
        except ImageUnavailable as problem:
            raise ImageUnavailable(f"The private engine could not be made. {problem}") from problem
