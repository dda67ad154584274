"""The policy for Compose files: what is refused in words of the file, all at once, before anything is built.

Compose reaches the engine only through the proxy, which refuses all that it does not know. So this need not be
complete: it names what people do write, in the file itself (`hidden`) and in what `docker compose config` makes of it
(`examine`). Settings that do no harm inside the private engine pass, `ports` for one: what is published there
is reached from nowhere else. The Dockerfiles that it names are judged as the folder's own is. Pure.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grader.course.models import BaseImage
from grader.course.yaml_source import Document, TooLargeError, YamlError, decode, read_yaml
from grader.dockerfile import policy
from grader.dockerfile.image_names import is_allowed, normalised
from grader.dockerfile.parser import Dockerfile, Unparsable, parse
from grader.submissions.models import ExerciseFiles

MAX_SERVICES = 8
"""Services of one file, also networks and volumes. The exercise has one."""

_SECTIONS = ("services", "networks", "volumes", "secrets", "configs")
_SHOWN_AT_ONCE = 12


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found. With `refusals`, which are sentences, nothing may be built.

    Else `bases` are the base images that builds and services need.
    """

    refusals: tuple[str, ...] = ()
    bases: tuple[str, ...] = field(default=(), compare=False)


def hidden(files: ExerciseFiles) -> tuple[str, ...]:
    """What is refused of the files as they are written: other files that Compose would read into them.

    So is what is larger or deeper than anybody writes: how long Compose takes for it depends on the machine. What
    cannot be read here is left to Compose, whose message is the better one; `examine` comes back to it.
    """
    found: list[str] = []
    for name in files.compose_files:
        document, problem, is_too_large = _read(files, name)
        found += [problem] if is_too_large else []
        found += [f"{name}: {problem}." for problem in _problems(document.data if document else None, _AS_WRITTEN)]
    return tuple(dict.fromkeys(found))[:_SHOWN_AT_ONCE]


def examine(files: ExerciseFiles, model: bytes, images: Sequence[BaseImage]) -> Judged:
    """Judge what `docker compose config --format json` printed, with the folder's path as `.`."""
    name = files.compose_file
    for read in files.compose_files:
        if problem := _read(files, read)[1]:
            return Judged((f"{problem}. Not every program reads this in the same way.",))
    try:
        top: Mapping[str, Any] = json.loads(model)
        refused = [*_unknown_or_many(top), *_problems(top, _AS_READ)]
    except (ValueError, AttributeError, RecursionError):
        return Judged((f"{name}: what Compose made of it cannot be read.",))
    if refused:
        return Judged(tuple(dict.fromkeys(f"{name}: {problem}." for problem in refused))[:_SHOWN_AT_ONCE])
    return _dockerfiles(files, name, top.get("services") or {}, images)


def _read(files: ExerciseFiles, name: str) -> tuple[Document | None, str, bool]:
    """A file's data, what about it is read by other programs in another way, and whether it is too large."""
    document, error = None, None
    try:
        document = read_yaml(decode(files.content(name) or b""), as_written=True)
        problem = next(iter(document.problems), None)
    except YamlError as caught:
        problem, error = caught.problem, caught
    shown = f"{name}: line {problem.position.line}: {problem.message}" if problem else ""
    return document, shown, isinstance(error, TooLargeError)


def _unknown_or_many(top: Mapping[str, Any]) -> Iterator[str]:
    for key in top:
        if key not in {*_SECTIONS, "name", "version"} and not key.startswith("x-"):
            yield f"{key[:60]} is not available in an exercise. Leave it out"
    for section in _SECTIONS:
        if (count := len(top.get(section) or ())) > MAX_SERVICES:
            yield f"there are {count} {section}; at most {MAX_SERVICES} are brought up"


# ── the Dockerfiles that it names ───────────────────────────────────────────────────────


def _dockerfiles(files: ExerciseFiles, name: str, services: Mapping[str, Any], images: Sequence[BaseImage]) -> Judged:
    """Each service's Dockerfile has to pass as the folder's own does, with the arguments that it is given."""
    bases: list[str] = []
    allowed = [name for image in images for name in image.names]
    for service, details in services.items():
        build, image = details.get("build"), str(details.get("image") or "")
        if not build:
            bases += [normalised(image)] if is_allowed(image, allowed) else []
            continue
        where = f"{name}: services.{service[:60]}.build"
        path = posixpath.join(str(build.get("context", ".")), str(build.get("dockerfile") or "Dockerfile"))
        if posixpath.normpath(path).startswith(("/", "..")):
            return Judged((f"{where}.dockerfile leads out of the exercise's folder ({path[:120]}).",))
        dockerfile = _dockerfile(files, build, posixpath.normpath(path))
        if dockerfile is None:  # Compose says so itself
            continue
        found = policy.judge_dockerfile(dockerfile, allowed)
        if found.refusals:
            return Judged(tuple(f"{where}: {refusal.message}" for refusal in found.refusals)[:_SHOWN_AT_ONCE])
        bases += found.bases
    return Judged(bases=tuple(dict.fromkeys(bases)))


def _dockerfile(files: ExerciseFiles, build: Mapping[str, Any], path: str) -> Dockerfile | Unparsable | None:
    """What is built, of the vetted bytes; None if the folder has no such file."""
    arguments = {key: str(value) for key, value in (build.get("args") or {}).items() if value is not None}
    if inline := build.get("dockerfile_inline"):
        text = str(inline).replace("$$", "$")  # so that Compose could read its own model again
        return parse(text.encode("utf-8", "surrogateescape"), arguments, "dockerfile_inline")
    folder, last = posixpath.split(path)
    names = [path, posixpath.join(folder, "dockerfile")] if last == "Dockerfile" else [path]
    return next((found for one in names if (found := files.parsed(one, arguments))), None)


# ── what a file may not ask for ─────────────────────────────────────────────────────────

Rule = tuple[str, str, str]
"""Paths of settings (`*` is any one key), what they may be as a whole, and what is said of others (`{}` is the value).

Both are regular expressions.
"""
_NOTHING = ""
_INSIDE = r"\.(?:/(?!\.\.(?:/|$)|.*/\.\.(?:/|$)).*)?"
_BESIDE = r"(?![/~])(?!\.\.(?:/|$)|.*/\.\.(?:/|$))[^$]*"
_OUT = (
    "leads out of the exercise's folder ({}). Only what is handed in with the Compose file can be used: write a path "
    "that begins with ./, without variables"
)
_ELSEWHERE = "reads another Compose file. Write the service into this one"
_DRIVEN = (
    "cannot be set here: with a driver's options, any folder, disk or network of the machine could be had. Leave them "
    "out (it was {})"
)
_EXTERNAL = (
    "cannot be set here: nothing was made before this file is brought up. Leave `external` out, and Compose makes it"
)

_AS_WRITTEN: tuple[Rule, ...] = (
    ("include", _NOTHING, "reads other Compose files. Write the services into this one"),
    ("services/*/extends/file", _NOTHING, _ELSEWHERE),
    ("services/*/provider", _NOTHING, "starts a program of the machine itself. Write a service that is a container"),
    (r"services/*/(?:env_file|label_file)(?:/\d+)?(?:/path)?", _BESIDE, _OUT),
)


def _without(names: str, why: str) -> Rule:
    """Settings of a service that it may not have at all."""
    return f"services/*/(?:{names})", _NOTHING, f"cannot be set here: {why}. Leave it out (it was {{}})"


def _only(path: str, allowed: str, why: str) -> Rule:
    """A setting that may be one of these words."""
    known = allowed.replace(" ", ", ").replace(":.*", ":NAME")
    return path, allowed.replace(" ", "|"), f"may be {known} here, not {{}}: {why}"


_AS_READ: tuple[Rule, ...] = (
    _without("privileged", "a privileged container has the whole machine"),
    _without("provider", "a provider is a program of the machine itself"),
    _without("cap_add|credential_spec|use_api_socket", "a service needs no rights beyond the usual ones"),
    _without(
        "devices|device_cgroup_rules|gpus|deploy/resources/(?:limits|reservations)/(?:devices|generic_resources)",
        "there are no devices for containers here",
    ),
    _without(
        "uts|userns_mode|cgroup|cgroup_parent|sysctls|runtime|storage_opt|blkio_config|annotations|oom_kill_disable"
        "|oom_score_adj|cpu_rt_period|cpu_rt_runtime|isolation",
        "it reaches the machine below the containers, which is no part of an exercise",
    ),
    _without("dns|dns_opt|dns_search|extra_hosts|external_links", "services find each other by their names"),
    _without("post_start|pre_stop", "commands besides that of the container are not run"),
    _without("deploy/(?:placement|update_config|rollback_config|endpoint_mode)", "it is for clusters"),
    _without("label_file", "write the labels into the Compose file"),
    _without("build/(?:additional_contexts|cache_from|cache_to)", "images are built from the exercise's folder alone"),
    _without("build/(?:privileged|entitlements)", "no build has special rights here"),
    _without("build/(?:ssh|secrets)", "there are no keys and no secrets here"),
    ("services/*/build/args/(?i:BUILDKIT_).*", _NOTHING, "changes how images are built. Leave it out"),
    ("services/*/build/context", _INSIDE, _OUT),
    _only("services/*/build/network", "default none", "a build has no other network"),
    _only("services/*/deploy/mode", "replicated", "others are for clusters"),
    ("services/*/(?:scale|deploy/replicas)", "[0-4]", "is {}; at most 4 containers of a service are started"),
    _only("services/*/logging/driver", "json-file local", "what a service prints is read from its log"),
    ("services/*/logging/options/(?!max-size$|max-file$|compress$).*", _NOTHING, "cannot be set here (it was {})"),
    _only("services/*/volumes/*/type", "bind volume tmpfs", "others reach the machine below the containers"),
    ("services/*/volumes/*/source", rf"{_INSIDE}|[A-Za-z0-9][A-Za-z0-9_.-]*", _OUT),
    _only("services/*/volumes/*/bind/propagation", "rprivate", "mounts stay inside the container"),
    ("services/*/volumes_from/*", "(?!container:).*", "names a service of this file, not {}"),
    _only("services/*/network_mode", "none bridge default service:.*", "it is the service's own or another one's"),
    _only("services/*/pid", "service:.*", "it is the service's own or another one's"),
    _only("services/*/ipc", "none private shareable service:.*", "it is the service's own or another one's"),
    _only(
        *("services/*/security_opt/*", "no-new-privileges no-new-privileges:true no-new-privileges=true"),
        "other options switch off what keeps a container in",
    ),
    ("networks/*/name", "(?!host$).*", "cannot be the host's network. Leave it out: services have one of their own"),
    _only("networks/*/driver", "bridge", "others reach the machine below the containers"),
    _only("volumes/*/driver", "local", "others reach the machine below the containers"),
    ("(?:networks|volumes)/*/driver_opts", _NOTHING, _DRIVEN),
    ("(?:networks|volumes)/*/external", _NOTHING, _EXTERNAL),
    ("(?:secrets|configs)/*/file", _INSIDE, _OUT),
    ("(?:secrets|configs)/*/(?!(?:file|name|labels)$)[^/]+", _NOTHING, "is not available in an exercise. Leave it out"),
)


def _problems(top: object, rules: Sequence[Rule]) -> Iterator[str]:
    patterns = [re.compile(path.replace("*/", "[^/]+/").replace("/*", "/[^/]+")) for path, _, _ in rules]
    for path, value in _settings(top):
        for pattern, (_, allowed, says) in zip(patterns, rules, strict=True):
            holds_others = isinstance(value, (dict, list)) and allowed
            if pattern.fullmatch(path) and not holds_others and not re.fullmatch(allowed, str(value)):
                shown = re.sub(r"/(\d+)(?=/|$)", r"[\1]", path).replace("/", ".")
                yield f"{shown} {says.format(str(value)[:120])}"


def _settings(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every setting that has something in it, with its path (`services/web/volumes/0/source`), also those by `<<`."""
    yield path, value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in entries:
        if key == "<<":
            for merged in one if isinstance(one, list) else [one]:
                yield from _settings(merged, path)
        elif one not in (None, "", 0, [], {}):
            yield from _settings(one, f"{path}/{str(key)[:60]}".lstrip("/"))
