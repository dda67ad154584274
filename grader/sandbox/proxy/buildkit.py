"""BuildKit's calls that are passed on, each written anew from what is known; everything else is refused.

The services are those of BuildKit 0.13, that of the private engine (Docker 26.1):
https://github.com/moby/buildkit/blob/v0.13.1/api/services/control/control.proto and
https://github.com/moby/buildkit/blob/v0.13.1/frontend/gateway/pb/gateway.proto. What is let through is what Buildx 0.13
and Compose 2.26 were seen to send: a build is begun with `Control/Solve`, and the Dockerfile is built with
`LLBBridge/Solve` under it.

Only BuildKit's own Dockerfile frontend runs. Whoever may name another one (`gateway.v0`, `# syntax=`, BUILDKIT_SYNTAX),
or send a graph of steps of their own, is past what a Dockerfile can ask for. BuildKit takes no notice of `# syntax=` in
a request that says that it has followed it already (`cmdline`), so each request says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from grader.sandbox.proxy.container import IMAGE, no_host
from grader.sandbox.proxy.messages import (
    Shape,
    a_map,
    decoded,
    encoded,
    flag,
    integer,
    message,
    raw,
    refused,
    repeated,
    skipped,
    string,
)
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.shape import (
    LEFT_OUT,
    Check,
    decimal,
    ignored,
    listing,
    mapping,
    number,
    one_of,
    record,
    text,
    truth,
    unset,
)
from grader.sandbox.proxy.strictjson import Json, read

_ANY = text()
_ID = text(r"[A-Za-z0-9]{1,64}", says="is not an id as BuildKit's clients make them")
_PLAIN = text(r"[^\x00-\x1f\x7f]{0,4096}", says="has a control character, or is too long")


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it is sent on; `makes` is as in `quota`. Without a `message` it is answered with an empty one.

    Of the answer to a `silent` one only the end is passed on.
    """

    message: bytes | None
    makes: Mapping[str, int]
    silent: bool = False


# ── what the Dockerfile frontend is told ────────────────────────────────────────────────


def _cache_imports(value: Json, where: str) -> Json:
    """Caches in a registry, which is not there, are left out: BuildKit too goes on without one that it cannot reach."""
    _IMPORTS(read(value.encode()) if isinstance(value, str) else value, where)
    return LEFT_OUT


_ENTRY: Check = record({
    "Type": one_of("registry", why="caches stay in this engine (`--cache-from`)"),
    "Attrs": mapping(_PLAIN, _PLAIN),
})  # fmt: skip
_IMPORTS: Check = listing(_ENTRY, most=32)
_CAPABILITIES = ("moby.buildkit.frontend.inputs", "moby.buildkit.frontend.contexts")
_FRONTEND = "other frontends than the Dockerfile's own are not available here"
_SET: Mapping[str, Check] = {
    "filename": text(r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\x00-\x1f\x7f]{1,400}", says="is not a path inside the folder"),
    "target": text(r"[A-Za-z0-9_.-]{0,200}"),
    "no-cache": text(r"[A-Za-z0-9_.,-]{0,1000}"),
    "platform": text(r"[a-z0-9/]{0,40}", says="is not one platform (linux/amd64)"),
    "image-resolve-mode": ignored(one_of("", "default", "local", "pull")),  # no registry has a newer base image
    "force-network-mode": lambda value, where: one_of("", "default", "none")(no_host(value, where), where),
    "add-hosts": _PLAIN,
    "shm-size": decimal(0),
    "ulimit": text(r"[a-z0-9=:,-]{0,1000}"),
    "dockerfilekey": one_of("dockerfile"),
    "context": text(
        r"http://buildkit-session/[A-Za-z0-9]{1,64}",
        says="is fetched from elsewhere, which is not available here: build a folder of the submission",
    ),
    "frontend.caps": text("|".join(rf"{re.escape(one)}(?:\+forward)?" for one in _CAPABILITIES)),
    "cache-imports": _cache_imports,
    "cgroup-parent": unset("it reaches the machine below the containers"),
    "cmdline": unset(_FRONTEND),
    "source": unset(_FRONTEND),
}
_OF_BUILDKIT = "BUILDKIT_"
_CONTEXT: Check = text(
    r"(?:docker-image:(?://)?[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,511}|local:[A-Za-z0-9_.:/-]{1,255})",
    says="is fetched from elsewhere: a context is a folder of the submission or an image that is here",
)


def _freely(check: Check) -> Callable[[str, str], Check]:
    """An option that may have any name behind its prefix."""

    def named(name: str, where: str) -> Check:
        _PLAIN(name, where)
        return check

    return named


def _argument(name: str, where: str) -> Check:
    if name.upper().startswith(_OF_BUILDKIT) and name != "BUILDKIT_INLINE_CACHE":
        raise Refusal(f"{where} cannot be set here: it changes how BuildKit builds, and {_FRONTEND}")
    _PLAIN(name, where)
    return _ANY


_PREFIXES: Mapping[str, Callable[[str, str], Check]] = {
    "build-arg:": _argument,
    "label:": _freely(_ANY),
    "context:": _freely(_CONTEXT),
}


def _option(name: str, where: str) -> Check:
    """The check for one of the frontend's options. Raises `Refusal` for one that is not known."""
    prefix, colon, rest = name.partition(":")
    if prefix + colon in _PREFIXES:
        return _PREFIXES[prefix + colon](rest, where)
    if name not in _SET:
        raise Refusal(f"{where} is not available here")
    return _SET[name]


def _options(value: Json, where: str) -> Json:
    known = cast("dict[str, Json]", mapping(_ANY, _ANY)(value, where))
    checked = {name: _option(name, _named(name))(one, _named(name)) for name, one in known.items()}
    return {name: one for name, one in checked.items() if one is not LEFT_OUT}


def _named(option: str) -> str:
    return f"the option {option[:60]!a} of the build"


# ── beginning a build ───────────────────────────────────────────────────────────────────

_FORBIDDEN_GRAPH = refused("steps come from a Dockerfile")
_FORBIDDEN_POLICY = refused("it has no use in an exercise")
_CACHE_ENTRY: Shape = {1: ("Type", string), 2: ("Attrs", a_map())}
_EXPORTER: Shape = {1: ("Type", string), 2: ("Attrs", a_map())}
_CACHE: Shape = {
    1: ("ExportRef", string),
    2: ("ImportRefs", repeated(string)),
    3: ("ExportAttrs", a_map()),
    4: ("Exports", repeated(message(_CACHE_ENTRY))),
    5: ("Imports", repeated(message(_CACHE_ENTRY))),
}
_SOLVE: Shape = {
    1: ("Ref", string),
    2: ("Definition", _FORBIDDEN_GRAPH),
    3: ("Exporter", string),
    4: ("ExporterAttrs", a_map()),
    5: ("Session", string),
    6: ("Frontend", string),
    7: ("FrontendAttrs", a_map()),
    8: ("Cache", message(_CACHE)),
    9: ("Entitlements", repeated(string)),
    10: ("FrontendInputs", a_map(_FORBIDDEN_GRAPH)),
    11: ("Internal", flag),
    12: ("SourcePolicy", _FORBIDDEN_POLICY),
    13: ("Exporters", repeated(message(_EXPORTER))),
}


def _names(value: Json, where: str) -> Json:
    listing(IMAGE, most=64)(cast("Json", cast("str", value).split(",")), where)
    return value


_EXPORTED: Check = record(
    {
        "Type": one_of("moby", why="a build makes an image of this engine (`--output`, `--push`)"),
        "Attrs": record({
            "name": _names,
            "push": one_of("false", why="there is no registry (`--push`)"),
            "load": one_of("true", "false"),
        }),
    },
    needed=("Type",),
)  # fmt: skip


def _entitlements(value: Json, where: str) -> Json:  # noqa: ARG001 - a check has this signature
    for one in cast("list[str]", value):
        no_host("host" if one == "network.host" else one, "the network of the build")
    raise Refusal("a build gets no rights beyond the usual ones (`--allow`)")


_CACHED: Check = record(
    {
        "Exports": listing(
            record({
                "Type": one_of("inline", why="caches stay in this engine (`--cache-to`)"),
                "Attrs": record({"mode": one_of("min", "max")}),
            }),
            most=1,
        ),
        "Imports": ignored(_IMPORTS),
        "ExportRef": unset("caches stay in this engine"),
        "ImportRefs": unset("caches stay in this engine"),
        "ExportAttrs": unset("caches stay in this engine"),
    }
)  # fmt: skip
_SOLVED: Check = record(
    {
        "Ref": _ID,
        "Session": _ID,
        "Frontend": one_of("", "dockerfile.v0", why=_FRONTEND),
        "FrontendAttrs": _options,
        "Cache": _CACHED,
        "Entitlements": _entitlements,
        "Internal": truth,
        "Exporters": listing(_EXPORTED, most=1),
    },
    needed=("Ref", "Session"),
)


def _solve(data: bytes, ours: Mapping[str, str]) -> Call:
    value = decoded(_SOLVE, data)
    kind, attributes = value.pop("Exporter", None), value.pop("ExporterAttrs", {})
    if kind is not None and "Exporters" not in value:  # the form of clients before BuildKit 0.13; newer ones send both
        value["Exporters"] = [{"Type": kind, "Attrs": attributes}]
    checked = cast("dict[str, Json]", _SOLVED(value, ""))
    if checked.get("Frontend"):
        checked["FrontendAttrs"] = {**cast("dict[str, Json]", checked.get("FrontendAttrs", {})), **ours}
    builds = {"builds": 1} if checked.get("Frontend") else {}
    images = sum(_count(one) for one in cast("list[dict[str, Json]]", checked.get("Exporters", [])))
    return Call(encoded(_SOLVE, checked), {**builds, **({"images": images} if images else {})})


def _count(exporter: dict[str, Json]) -> int:
    names = cast("dict[str, str]", exporter.get("Attrs", {})).get("name", "")
    return names.count(",") + 1


# ── under a build ───────────────────────────────────────────────────────────────────────

_BUILD: Shape = {
    1: ("Definition", _FORBIDDEN_GRAPH),
    2: ("Frontend", string),
    3: ("FrontendOpt", a_map()),
    5: ("AllowResultReturn", flag),
    6: ("AllowResultArrayRef", flag),
    12: ("CacheImports", repeated(message(_CACHE_ENTRY))),
    13: ("FrontendInputs", a_map(_FORBIDDEN_GRAPH)),
    14: ("Evaluate", flag),
    15: ("SourcePolicies", _FORBIDDEN_POLICY),
}
_BUILT: Check = record(
    {
        "Frontend": one_of("dockerfile.v0", why=_FRONTEND),
        "FrontendOpt": _options,
        **dict.fromkeys(("AllowResultReturn", "AllowResultArrayRef", "Evaluate"), truth),
        "CacheImports": ignored(_IMPORTS),
    },
    needed=("Frontend",),
)


def _build(data: bytes, ours: Mapping[str, str]) -> Call:
    checked = cast("dict[str, Json]", _BUILT(decoded(_BUILD, data), ""))
    checked["FrontendOpt"] = {**cast("dict[str, Json]", checked.get("FrontendOpt", {})), **ours}
    return Call(encoded(_BUILD, checked), {"builds": 1})


# The client says what the build's result is: a reference that the engine gave it, and the image's configuration.
_REF: Shape = {1: ("id", string), 2: ("def", skipped)}
_DETAIL: Shape = {1: ("type_url", string), 2: ("value", raw)}
_RETURN: Shape = {
    1: ("result", message({3: ("ref", message(_REF)), 10: ("metadata", a_map(raw))})),
    2: ("error", message({1: ("code", integer), 2: ("message", string), 3: ("details", repeated(message(_DETAIL)))})),
}
_CONFIGURATION = ("containerimage.config", "containerimage.base.config", "refs.platforms")


def _bytes(value: Json, where: str) -> Json:  # noqa: ARG001 - a check has this signature
    return value


_RETURNED: Check = record({
    "result": record({
        "ref": record({"id": text(r"[A-Za-z0-9]{0,64}", says="is not an id that BuildKit gives")}),
        "metadata": mapping(one_of(*_CONFIGURATION), _bytes),
    }),
    "error": record({
        "code": number(0, 16),
        "message": _bytes,
        "details": listing(record({"type_url": _PLAIN, "value": _bytes})),
    }),
})  # fmt: skip


def _return(data: bytes, ours: Mapping[str, str]) -> Call:  # noqa: ARG001 - a method has this signature
    checked = cast("dict[str, Json]", _RETURNED(decoded(_RETURN, data), ""))
    if len(checked) != 1:  # with neither of them, BuildKit 0.13 panics
        raise Refusal("a build returns either a result or an error")
    return Call(encoded(_RETURN, checked), {})


# ── the calls ───────────────────────────────────────────────────────────────────────────

_Method = Callable[[bytes, Mapping[str, str]], Call]


def _plain(shape: Shape, check: Check) -> _Method:
    """A call that makes nothing, with a message of this shape."""

    def rebuilt(data: bytes, ours: Mapping[str, str]) -> Call:  # noqa: ARG001 - a method has this signature
        return Call(encoded(shape, cast("dict[str, Json]", check(decoded(shape, data), ""))), {})

    return rebuilt


def _answered(data: bytes, ours: Mapping[str, str]) -> Call:  # noqa: ARG001 - a method has this signature
    return Call(None, {})


def _silently(method: _Method) -> _Method:
    """The same call, with an answer of which only the end is passed on."""
    return lambda data, ours: replace(method(data, ours), silent=True)


_FILTER: Shape = {1: ("filter", repeated(string))}
_PRUNE: Shape = {**_FILTER, 2: ("all", flag), 3: ("keepDuration", integer), 4: ("keepBytes", integer)}
_FILTERS = listing(_PLAIN, most=32)
_CONTROL, _BRIDGE = "/moby.buildkit.v1.Control", "/moby.buildkit.v1.frontend.LLBBridge"
METHODS: Mapping[str, _Method] = {
    f"{_CONTROL}/Info": _plain({}, record({})),
    f"{_CONTROL}/ListWorkers": _plain(_FILTER, record({"filter": _FILTERS})),
    # What the cache holds is told by the commands of other people's Dockerfiles, so none of it is told.
    f"{_CONTROL}/DiskUsage": _answered,
    f"{_CONTROL}/Prune": _silently(
        _plain(_PRUNE, record({"filter": _FILTERS, "all": truth, "keepDuration": number(0), "keepBytes": number(0)}))
    ),
    f"{_CONTROL}/Status": _plain({1: ("Ref", string)}, record({"Ref": _ID}, needed=("Ref",))),
    f"{_CONTROL}/Solve": _solve,
    f"{_BRIDGE}/Ping": _plain({}, record({})),
    f"{_BRIDGE}/Solve": _build,
    f"{_BRIDGE}/Return": _return,
    # What the docker command would tell of its own timing. It is not asked again if it hears that all is well.
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": _answered,
}
"""Every call that is known, with how it is made anew."""
_SAID: Mapping[str, str] = {
    f"{_CONTROL}/ListenBuildHistory": "the history of builds is not available here",
    f"{_BRIDGE}/NewContainer": "a build has no containers but those of its RUN instructions",
}


def call(method: str, data: bytes, namespace: str) -> Call:
    """A call as it is sent on, from its whole message. Raises `Refusal` for any that is not known and allowed.

    What `RUN --mount=type=cache` keeps is kept under `namespace`.
    """
    if method not in METHODS:
        said = _SAID.get(method, f"{method[:120]!a} is not available here")
        raise Refusal(f"BuildKit: {said}")
    return METHODS[method](data, {"cmdline": "built in", "build-arg:BUILDKIT_CACHE_MOUNT_NS": namespace})
