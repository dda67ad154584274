"""BuildKit behind the guard, by the real docker command and by calls of one's own, on a real engine."""

from __future__ import annotations

import pytest

from grader.protobuf import chunk_field
from tests.buildkit import BRIDGE, CONTROL, IDS, asked, build, entries, exporter, solve, texts
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
