"""BuildKit behind the guard, by the real docker command and by calls of one's own, on a real engine."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import pytest

from grader.engine.build.protobuf import chunk_field
from tests.buildkit import (
    BRIDGE,
    CONTROL,
    FOLDER,
    IDS,
    LINK,
    LISTED,
    SENT,
    Answer,
    asked,
    build,
    content,
    entries,
    exporter,
    session,
    solve,
    stat,
    texts,
)
from tests.engine.contexts import BASE
from tests.engine.test_guard import Place, host, place, private  # noqa: F401 - fixtures

pytestmark = [pytest.mark.engine, pytest.mark.private]

OWN_FRONTEND = f"""
mkdir own; printf 'FROM {BASE}\\nENTRYPOINT ["python", "-c", "print(40 + 2)"]\\n' >own/Dockerfile
docker build -q -t own:1 own >/dev/null
printf '# syntax=own:1\\nFROM {BASE}\\nRUN echo plain >/said\\n' >Dockerfile
docker build -q -t app:1 . >/dev/null; docker run --rm app:1 cat /said
"""


def test_an_image_of_ones_own_is_no_frontend(place: Place) -> None:  # noqa: F811
    """With `# syntax=`, BuildKit would run the image that was built before: it needs no registry for that."""
    assert place.said(OWN_FRONTEND) == "plain\n"
    assert "other frontends" in place.said("docker build --build-arg BUILDKIT_SYNTAX=own:1 .")
    assert "other frontends" in place.said("BUILDKIT_SYNTAX=own:1 docker build --build-arg BUILDKIT_SYNTAX .")


def test_more_builds_than_the_chapter_has_are_no_flood(place: Place) -> None:  # noqa: F811
    """The docker command opens three sessions for each build; what counts are the builds."""
    script = (
        "for i in $(seq 25); do docker build -q -t many:$i . >/dev/null || echo failed; done; docker images -q many"
    )
    assert len(place.said(script).split()) == 25
    assert place.recording.reasons() == ()


def test_a_build_that_fails_says_where(place: Place) -> None:  # noqa: F811
    said = place.said("printf 'FROM BASE\\nRUN exit 7\\n' >Dockerfile; docker build .".replace("BASE", BASE))
    assert "2 | >>> RUN exit 7" in said
    assert "exit code: 7" in said


def test_a_build_that_is_interrupted_ends(place: Place) -> None:  # noqa: F811
    script = (
        f"printf 'FROM {BASE}\\nRUN sleep 100\\n' >Dockerfile; timeout -s INT 8 docker build . 2>&1 | tail -1; echo end"
    )
    assert place.run(script).stdout.endswith(b"end\n")


def test_caches_are_not_shared_with_other_scripts(place: Place) -> None:  # noqa: F811
    lines = f"FROM {BASE}\\nARG X\\nRUN --mount=type=cache,target=/kept echo $X >>/kept/x; wc -l </kept/x >/count\\n"
    script = f"""
printf '{lines}' >Dockerfile; docker build -q --build-arg X=$RANDOM -t one . >/dev/null
docker build -q --build-arg X=$RANDOM -t two . >/dev/null; docker run --rm two cat /count
"""
    assert place.said(script) == "2\n"


CALLS = {
    "a graph of steps": (f"{CONTROL}/Solve", IDS + chunk_field(2, texts(_1="x")), "steps come from a Dockerfile"),
    "a frontend": (f"{CONTROL}/Solve", solve(frontend="gateway.v0", options={"source": "own:1"}), "other frontends"),
    "a frontend under a build": (f"{BRIDGE}/Solve", build(frontend="gateway.v0"), "other frontends"),
    "the host's network": (f"{CONTROL}/Solve", solve(more=texts(_9="network.host")), "cannot be the host's network"),
    "files of a build": (f"{BRIDGE}/ReadFile", texts(_1="x", _2="/etc/passwd"), "is not available here"),
    "a container": (f"{BRIDGE}/NewContainer", texts(_1="x"), "a build has no containers"),
    "the history of builds": (f"{CONTROL}/ListenBuildHistory", b"", "the history of builds is not available"),
    "a context from an address": (
        f"{CONTROL}/Solve",
        solve(options={"context": "https://example.invalid/x.tar"}),
        "is fetched from elsewhere",
    ),
    "a cache sent away": (
        f"{CONTROL}/Solve",
        solve(more=chunk_field(8, chunk_field(4, texts(_1="registry") + entries(2, {"ref": "x"})))),
        "caches stay in this engine",
    ),
    "files as the result": (f"{CONTROL}/Solve", IDS + exporter("local"), "a build makes an image of this engine"),
    "no result at all": (f"{BRIDGE}/Return", b"", "either a result or an error"),
    "an option twice": (
        f"{BRIDGE}/Solve",
        build(more=entries(3, {"filename": "x"})),
        "may be there once",
    ),
}


def test_calls_of_ones_own_are_held_to_the_same(place: Place) -> None:  # noqa: F811
    path = place.folder / "s"
    answers = asked(path, *((method, message) for method, message, _ in CALLS.values()), (f"{CONTROL}/Info", b""))
    assert [one.status for one in answers] == ["7"] * len(CALLS) + ["0"]
    for answer, (name, (_, _, words)) in zip(answers, CALLS.items(), strict=False):
        assert words in answer.message, name
    assert len(place.recording.refusals.requests()) == len(CALLS)


DOCKERFILE = f"FROM {BASE}\nCOPY . /x\n".encode()
PLAIN = [stat("Dockerfile", size=len(DOCKERFILE)), LISTED, content(DOCKERFILE), content(b""), SENT]
FOLDERS = {
    "a device": ([stat("Dockerfile", 1 << 26 | 0o666)], "takes no devices"),
    "a path that leads out": ([stat("../Dockerfile")], "not a path inside the folder"),
    "an absolute path": ([stat("/etc/passwd")], "not a path inside the folder"),
    "a path below a link": ([stat("l", LINK, link="/etc"), stat("l/passwd")], "in no folder that is built"),
    "a second name of what is outside": ([stat("Dockerfile", link="/etc/shadow")], "another name of something"),
    "a request to the engine": ([texts(_3="x")], "is of another kind"),
    "300 MB": ([stat("x", size=300 * 2**20)], "at most 256 MiB"),
    "300 MB that were not announced": ([stat("x"), LISTED, *[content(bytes(200_000))] * 1500], "at most 256 MiB"),
    "more files than there can be": ([stat(f"{one:06}") for one in range(20_001)], "20000 files"),
}


def built(place: Place, files: Callable[[str], Sequence[bytes]]) -> Answer:  # noqa: F811
    """What becomes of a build with these files."""
    name = secrets.token_hex(8)
    with session(place.folder / "s", files, name):
        return asked(place.folder / "s", (f"{CONTROL}/Solve", solve(ids=texts(_1=name, _5=name))))[0]


@pytest.mark.parametrize(("packets", "words"), FOLDERS.values(), ids=FOLDERS)
def test_a_session_brings_nothing_but_a_folder(place: Place, packets: list[bytes], words: str) -> None:  # noqa: F811
    """BuildKit asks for the Dockerfile, and is told why there is none."""
    answer = built(place, lambda _folder: packets)
    assert words in answer.message
    assert any(words in reason for reason in place.recording.reasons())


def test_a_context_is_held_to_the_same_and_the_engine_goes_on(place: Place) -> None:  # noqa: F811
    answer = built(place, lambda folder: PLAIN if folder == "dockerfile" else [stat("f", FOLDER), stat("f/../../x")])
    assert "not a path inside the folder" in answer.message
    assert place.run("docker build -q .").stdout.startswith(b"sha256:")


def test_a_refusal_is_seen_in_what_docker_prints(place: Place) -> None:  # noqa: F811
    said = place.said(
        f"printf 'FROM {BASE}\\nCOPY . /x\\n' >Dockerfile; mkfifo data/pipe; docker build .; rm data/pipe"
    )
    assert "'data/pipe' is no file, folder or link: a build takes no devices, pipes or sockets" in said
    assert "ERROR: failed to solve" in said


def test_files_arrive_as_they_are(place: Place) -> None:  # noqa: F811
    """Large, empty, executable, with two names, with a name that is not ASCII, and links."""
    lines = (
        f"FROM {BASE}\\nCOPY . /x\\nRUN cd /x && cat large ä/e | sha256sum && stat -c %%A:%%h run && cat link out\\n"
    )
    script = f"""
mkdir -p /tmp/c/ä; cd /tmp/c; head -c 30000000 /dev/urandom >large; touch ä/e; echo a >run; chmod 755 run; ln run two
ln -s run link; ln -s /etc/issue.net out; printf '{lines}' >Dockerfile; sha256sum <large
docker build --progress plain . 2>&1 | sed -n 's/^#[0-9]* [0-9][0-9.]* //p'
"""
    before, *after = place.said(script).splitlines()
    assert after[:3] == [before, "-rwxr-xr-x:2", "a"]
    assert after[3].startswith("Debian")
    assert place.recording.reasons() == ()


def test_several_builds_at_once_do_not_stop_each_other(place: Place) -> None:  # noqa: F811
    script = f"""
cd /tmp; for i in 1 2 3 4; do mkdir c$i; head -c 5000000 /dev/urandom >c$i/x; done
for i in 1 2 3 4; do printf 'FROM {BASE}\nCOPY x /\n' >c$i/Dockerfile; done
for i in 1 2 3 4; do docker build -q -t at-once:$i c$i >/dev/null || echo failed & done; wait; docker images -q at-once
"""
    assert len(set(place.said(script).split())) == 4
