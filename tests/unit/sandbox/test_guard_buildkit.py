"""BuildKit's calls: those of the real commands go on, and what is past a Dockerfile does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.engine.build.protobuf import chunk_field, fields, number_field
from grader.sandbox.proxy.buildkit import Call, call
from grader.sandbox.proxy.messages import decoded, message, repeated, string
from grader.sandbox.proxy.refusal import Refusal
from tests.buildkit import BRIDGE, CONTROL, FILE, IDS, build, entries, exporter, recorded_calls, solve, texts

RECORDED = recorded_calls()
SOLVE, BUILD, RETURN = f"{CONTROL}/Solve", f"{BRIDGE}/Solve", f"{BRIDGE}/Return"


def passed(method: str, data: bytes) -> Call:
    return call(method, data, "ours")


def options_in(data: bytes, number: int) -> dict[str, str]:
    """A map in a message, as protobuf's own readers take it: the last one of a key counts."""
    entries = [value for known, _, value in fields(data) if known == number and isinstance(value, bytes)]
    pairs = [{one: bytes(value) for one, _, value in fields(entry) if isinstance(value, bytes)} for entry in entries]
    return {pair.get(1, b"").decode(): pair.get(2, b"").decode() for pair in pairs}


@pytest.mark.parametrize(
    ("method", "data"), [one[1:] for one in RECORDED], ids=[f"{c} {m.rpartition('.')[2]}" for c, m, _ in RECORDED]
)
def test_what_the_real_commands_send_goes_on(method: str, data: bytes) -> None:
    sent = passed(method, data).message
    if method == f"{CONTROL}/DiskUsage":
        assert sent is None, "nobody is told what the cache holds"
        return
    assert sent is not None
    known = {number for number, _, _ in fields(data)}
    assert {number for number, _, _ in fields(sent)} <= known


def test_what_a_build_is_told_stays_and_ours_is_added() -> None:
    wanted = {
        "filename": "sub/Dockerfile", "target": "a", "build-arg:A": "1=2", "build-arg:http_proxy": "", "label:x": "y",
        "no-cache": "", "platform": "linux/amd64", "force-network-mode": "none", "add-hosts": "x=1.2.3.4",
        "shm-size": "10485760", "ulimit": "nofile=100:100", "dockerfilekey": "dockerfile",
        "context": "http://buildkit-session/abc", "context:other": "local:other",
        "context:base": "docker-image://python:3.9-slim", "build-arg:BUILDKIT_INLINE_CACHE": "1",
    }  # fmt: skip
    ours = {"cmdline": "built in", "build-arg:BUILDKIT_CACHE_MOUNT_NS": "ours"}
    assert options_in(passed(BUILD, build(options=wanted)).message or b"", 3) == wanted | ours
    assert options_in(passed(SOLVE, solve(options=wanted)).message or b"", 7) == wanted | ours


@pytest.mark.parametrize("mode", ["pull", "local", "default"])
def test_a_build_asks_no_registry_for_a_newer_base_image(mode: str) -> None:
    sent = passed(SOLVE, solve(options=FILE | {"image-resolve-mode": mode})).message or b""
    assert "image-resolve-mode" not in options_in(sent, 7)


def test_caches_of_a_registry_are_left_out() -> None:
    """There is none, and BuildKit goes on without a cache that it cannot reach."""
    imports = '[{"Type":"registry","Attrs":{"ref":"a:1"}}]'
    sent = passed(BUILD, build(options=FILE | {"cache-imports": imports})).message or b""
    assert "cache-imports" not in options_in(sent, 3)
    entry = chunk_field(5, texts(_1="registry") + entries(2, {"ref": "a:1"}))
    sent = passed(SOLVE, solve(more=chunk_field(8, entry))).message or b""
    assert [value for number, _, value in fields(sent) if number == 8] == [b""]


def test_a_result_goes_on_without_its_graph() -> None:
    ref = texts(_1="abc") + chunk_field(2, b"anything at all")
    sent = passed(RETURN, chunk_field(1, chunk_field(3, ref) + entries(10, {"containerimage.config": "{}"}))).message
    assert sent == chunk_field(1, chunk_field(3, texts(_1="abc")) + entries(10, {"containerimage.config": "{}"}))


@pytest.mark.parametrize(
    ("method", "data", "makes"),
    [
        (SOLVE, IDS + number_field(11, 1), {}),
        (SOLVE, IDS + exporter("moby"), {"images": 1}),
        (SOLVE, IDS + exporter("moby", name="a:1,b:2,c:3"), {"images": 3}),
        (SOLVE, solve(more=exporter("moby", name="a")), {"builds": 1, "images": 1}),
        (SOLVE, solve(more=texts(_3="moby") + entries(4, {"name": "a,b"})), {"builds": 1, "images": 2}),
        (BUILD, build(), {"builds": 1}),
        (f"{CONTROL}/ListWorkers", b"", {}),
    ],
)
def test_what_a_call_makes(method: str, data: bytes, makes: Mapping[str, int]) -> None:
    assert passed(method, data).makes == makes


def test_the_old_form_of_an_exporter_goes_on_in_the_new_one() -> None:
    sent = passed(SOLVE, solve(more=texts(_3="moby") + entries(4, {"name": "a"}))).message or b""
    assert [value for number, _, value in fields(sent) if number == 13] == [
        texts(_1="moby") + entries(2, {"name": "a"})
    ]
    assert not {3, 4} & {number for number, _, _ in fields(sent)}


def test_traces_are_answered_and_go_nowhere() -> None:
    export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    assert passed(export, b"\xff anything").message is None


# ── what does not go on ─────────────────────────────────────────────────────────────────


def option(name: str, value: str) -> tuple[str, bytes]:
    return BUILD, build(options=FILE | {name: value})


GRAPH = chunk_field(1, b"\x1a\x05")
ASKED: dict[str, tuple[tuple[str, bytes], str]] = {
    "steps of one's own": ((SOLVE, IDS + chunk_field(2, GRAPH)), "steps come from a Dockerfile"),
    "steps of one's own, under a build": ((BUILD, chunk_field(1, GRAPH)), "steps come from a Dockerfile"),
    "steps as an input": ((BUILD, build(more=chunk_field(13, texts(_1="x", _2="")))), "steps come from a Dockerfile"),
    "steps as an input of the whole": ((SOLVE, solve(more=chunk_field(10, texts(_1="x", _2="")))), "from a Dockerfile"),
    "a frontend of one's own": ((SOLVE, solve(frontend="gateway.v0", options={"source": "evil:1"})), "other frontends"),
    "a frontend, under a build": ((BUILD, build(frontend="gateway.v0")), "other frontends"),
    "no frontend": ((BUILD, number_field(5, 1)), "Frontend is missing"),
    "a frontend by BUILDKIT_SYNTAX": (option("build-arg:BUILDKIT_SYNTAX", "evil:1"), "other frontends"),
    "a frontend by buildkit_syntax": (option("build-arg:buildkit_syntax", "evil:1"), "other frontends"),
    "the caches of others": (option("build-arg:BUILDKIT_CACHE_MOUNT_NS", "x"), "cannot be set here"),
    "a frontend's source": (option("source", "evil:1"), "other frontends"),
    "a command line for a frontend": (option("cmdline", "evil:1"), "other frontends"),
    "an option that is not known": (option("hostname", "x"), "is not available here"),
    "an option in capitals": (option("Context", "http://x"), "is not available here"),
    "a question to the frontend": (option("requestid", "frontend.outline"), "is not available here"),
    "an attestation": (option("attest:sbom", "generator=evil:1"), "is not available here"),
    "the host's network": (option("force-network-mode", "host"), "cannot be the host's network"),
    "the host's network, in capitals": (option("force-network-mode", "HOST"), "cannot be the host's network"),
    "a group of processes": (option("cgroup-parent", "/"), "cannot be set here"),
    "a context from an address": (option("context", "https://example.invalid/x.tar"), "is fetched from elsewhere"),
    "a context from git": (option("context", "git@example.invalid:x"), "is fetched from elsewhere"),
    "a context with a line break": (option("context", "http://buildkit-session/a\n"), "is fetched from elsewhere"),
    "a named context from an address": (option("context:x", "https://example.invalid/x"), "is fetched from elsewhere"),
    "a named context from git": (option("context:x", "git@example.invalid:x"), "is fetched from elsewhere"),
    "a named context from a layout": (option("context:x", "oci-layout://x@sha256:0"), "is fetched from elsewhere"),
    "a named context from an input": (option("context:x", "input:y"), "is fetched from elsewhere"),
    "a Dockerfile outside": (option("filename", "../Dockerfile"), "is not a path inside the folder"),
    "a cache in a folder": (option("cache-imports", '[{"Type":"local","Attrs":{"src":"/"}}]'), "may be registry here"),
    "a cache that is no JSON": (option("cache-imports", "x"), "is not the JSON"),
    "a cache in a bucket": (
        (BUILD, build(more=chunk_field(12, texts(_1="s3") + entries(2, {"bucket": "x"})))), "may be registry here",
    ),
    "a cache sent away": (
        (SOLVE, solve(more=chunk_field(8, chunk_field(4, texts(_1="registry") + entries(2, {"ref": "x"}))))),
        "may be inline here",
    ),
    "a cache sent away, the old form": ((SOLVE, solve(more=chunk_field(8, texts(_1="x/y")))), "caches stay in this"),
    "the right to the host's network": ((SOLVE, solve(more=texts(_9="network.host"))), "cannot be the host's network"),
    "the right to everything": ((SOLVE, solve(more=texts(_9="security.insecure"))), "no rights beyond the usual ones"),
    "the right to devices": ((SOLVE, solve(more=texts(_9="device"))), "no rights beyond the usual ones"),
    "a policy of sources": ((SOLVE, solve(more=chunk_field(12, b""))), "SourcePolicy cannot be set here"),
    "a policy of sources, under a build": ((BUILD, build(more=chunk_field(15, b""))), "SourcePolicies cannot be set"),
    "files as the result": ((SOLVE, IDS + exporter("local")), "may be moby here"),
    "a tar as the result": ((SOLVE, IDS + exporter("tar")), "may be moby here"),
    "an image of another store": ((SOLVE, IDS + exporter("image", name="a")), "may be moby here"),
    "an image for a registry": ((SOLVE, IDS + exporter("moby", name="a", push="true")), "there is no registry"),
    "an exporter's option": ((SOLVE, IDS + exporter("moby", compression="zstd")), "is not known here"),
    "an exporter, the old form": ((SOLVE, solve(more=texts(_3="local"))), "may be moby here"),
    "two exporters": ((SOLVE, IDS + exporter("moby") + exporter("moby")), "is a list of 0 to 1 entries"),
    "a name that is none": ((SOLVE, IDS + exporter("moby", name="a,,b")), "is not written as the name of an image"),
    "a build without a session": ((SOLVE, texts(_1="build")), "Session is missing"),
    "an id that is none": ((SOLVE, texts(_1="a/b", _5="session")), "is not an id"),
    "a field that is not known": ((SOLVE, IDS + number_field(14, 1)), "field 14 of the message is not known here"),
    "a field that is not known, inside": ((SOLVE, IDS + chunk_field(13, texts(_1="moby", _3="x"))), "field 3 of"),
    "a field of another kind": ((SOLVE, number_field(1, 5)), "is of another kind"),
    "a field twice": ((SOLVE, solve(more=texts(_6="gateway.v0"))), "Frontend may be there once"),
    "an option twice": ((BUILD, build(more=entries(3, {"filename": "other"}))), "'filename' may be there once"),
    "an option's value twice": (
        (BUILD, build(more=chunk_field(3, texts(_1="target", _2="a") + texts(_2="b")))), "value may be there once",
    ),
    "a number for yes": ((SOLVE, IDS + number_field(11, 2)), "Internal is true or false"),
    "text that is no UTF-8": ((SOLVE, chunk_field(1, b"\xff")), "is not UTF-8"),
    "a message that is cut off": ((SOLVE, IDS[:-1]), "cut off in the middle"),
    "a group": ((SOLVE, b"\x0b\x0c"), "unknown kind 3"),
    "a number without end": ((SOLVE, b"\x58" + b"\xff" * 11), "cut off in the middle"),
    "no result": ((RETURN, b""), "either a result or an error"),
    "a result and an error": ((RETURN, chunk_field(1, b"") + chunk_field(2, b"")), "either a result or an error"),
    "results for platforms": ((RETURN, chunk_field(1, chunk_field(4, b""))), "field 4 of result"),
    "a name in a result": ((RETURN, chunk_field(1, entries(10, {"image.name": "x"}))), "may be containerimage.config"),
    "the files of a build": ((f"{BRIDGE}/ReadFile", texts(_1="x", _2="/etc/shadow")), "is not available here"),
    "a container of one's own": ((f"{BRIDGE}/NewContainer", b""), "no containers but those of its RUN"),
    "a process of one's own": ((f"{BRIDGE}/ExecProcess", b""), "is not available here"),
    "the configuration of an image": ((f"{BRIDGE}/ResolveImageConfig", texts(_1="x")), "is not available here"),
    "the builds of others": ((f"{CONTROL}/ListenBuildHistory", b""), "the history of builds is not available"),
    "a change of the history": ((f"{CONTROL}/UpdateBuildHistory", b""), "is not available here"),
    "a session over this way": ((f"{CONTROL}/Session", b""), "is not available here"),
    "a service of the engine": (("/containerd.services.content.v1.Content/List", b""), "is not available here"),
    "what services there are": (("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b""), "is not available"),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "words"), ASKED.values(), ids=ASKED)
def test_what_is_past_a_dockerfile_is_refused(asked: tuple[str, bytes], words: str) -> None:
    with pytest.raises(Refusal, match=words.replace("(", r"\(")):
        passed(*asked)


def test_many_entries_are_read_in_one_go() -> None:
    """Each costs two bytes, so a reader that copies what it has would take minutes."""
    shape = {1: ("one", repeated(string)), 2: ("two", repeated(message({})))}
    assert len(str(decoded(shape, b"\x0a\x00" * 100_000 + b"\x12\x00" * 100_000))) > 100_000


# ── any message ─────────────────────────────────────────────────────────────────────────

PIECES = st.one_of(
    st.sampled_from([data for _, _, data in RECORDED]),
    st.sampled_from([data for (_, data), _ in ASKED.values()]),
    st.builds(number_field, st.integers(0, 20), st.integers(0, 2**64 - 1)),
    st.builds(chunk_field, st.integers(0, 20), st.binary(max_size=30)),
    st.binary(max_size=20),
)
METHODS = sorted({method for _, method, _ in RECORDED})


@given(st.sampled_from(METHODS), st.lists(PIECES, max_size=4))
def test_any_message_is_refused_or_is_for_the_frontend_of_dockerfiles(method: str, pieces: list[bytes]) -> None:
    try:
        sent = passed(method, b"".join(pieces)).message or b""
    except Refusal:
        return
    found = {number: value for number, _, value in fields(sent)}
    if method == SOLVE:
        assert not {2, 9, 10, 12} & {*found}
        assert found.get(6, b"") in {b"", b"dockerfile.v0"}
        assert not found.get(6) or options_in(sent, 7)["cmdline"] == "built in"
    if method == BUILD:
        assert found[2] == b"dockerfile.v0"
        assert not {1, 13, 15} & {*found}
        assert options_in(sent, 3)["cmdline"] == "built in"
