from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.dockerfile.image_names import is_allowed, normalised, reference_problem
from grader.dockerfile.models import Unparsable
from grader.dockerfile.parser import parse
from grader.dockerfile.policy import PolicyResult, examine

ALLOWED = ("python:3.9", "python:3.9-slim", "python:3.9.*", "python:latest")


def judged(dockerfile: str | bytes, platform: str = "linux/amd64") -> PolicyResult:
    content = dockerfile if isinstance(dockerfile, bytes) else dockerfile.encode()
    return examine(parse(content), ALLOWED, platform)


# ── what must pass ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("dockerfile", "bases"),
    [
        ("FROM python:3.9\n", ["python:3.9"]),
        ("from python:3.9-slim\r\nrun pip install numpy\r\n", ["python:3.9-slim"]),
        ("FROM python\n", ["python:latest"]),
        ("FROM docker.io/library/python:3.9\n", ["python:3.9"]),
        ("FROM python:3.9.18-bookworm\n", ["python:3.9.18-bookworm"]),
        ("ARG V=3.9\nFROM python:${V}-slim\n", ["python:3.9-slim"]),
        (
            "FROM python:3.9 AS build\nFROM python:3.9-slim\nCOPY --from=Build /a /b\n",
            ["python:3.9", "python:3.9-slim"],
        ),
        ("FROM python:3.9 AS a\nFROM a\nCOPY --from=0 /a /b\nCOPY --from=a /a /b\n", ["python:3.9"]),
        ("FROM python:3.9\nCOPY --from=python:3.9-slim /a /b\n", ["python:3.9", "python:3.9-slim"]),
        ("FROM python:3.9\nRUN --mount=from=python,target=/x y\n", ["python:3.9", "python:latest"]),
        ("FROM scratch\nCOPY --from=scratch a b\n", []),
        ("FROM scratch\nCOPY a /a\n", []),
        ("FROM --platform=$BUILDPLATFORM python:3.9\n", ["python:3.9"]),
        ("FROM --platform=linux/amd64 python:3.9\n", ["python:3.9"]),
        ("# syntax=docker/dockerfile:1\nFROM python:3.9\n", ["python:3.9"]),
        ("#syntax = docker/dockerfile:1.4\nFROM python:3.9\n", ["python:3.9"]),
        ("# syntax=docker/dockerfile:experimental\nFROM python:3.9\n", ["python:3.9"]),
        ("# check=skip=all\nFROM python:3.9\n", ["python:3.9"]),
        ("# escape=`\nFROM `\npython:3.9\nRUN a `\n  b\n", ["python:3.9"]),
        ("\ufeff# \N{SNAKE} caf\u00e9\nFROM python:3.9\n", ["python:3.9"]),
        ("FROM python:3.9\n# FROM evil\nRUN echo FROM evil\n", ["python:3.9"]),
        ("FROM python:3.9\nRUN <<EOF\nFROM evil\nADD http://x /\nEOF\n", ["python:3.9"]),
        ("FROM python:3.9\nCOPY <<EOF /a.py\nfrom evil import x\nEOF\n", ["python:3.9"]),
    ],
)
def test_honest_dockerfiles_pass_and_name_the_images_they_need(dockerfile: str, bases: list[str]) -> None:
    found = judged(dockerfile)
    assert found.refusals == ()
    assert list(found.bases) == bases


@pytest.mark.parametrize(
    "line",
    [
        "ADD local.tar.gz /app/",
        "ADD a.py b@1.txt $HOME/",
        'ADD ["a b", "/x"]',
        "ADD <<EOF /a\nhttp://x\nEOF",
        "COPY --chown=1:1 --chmod=755 --link a b",
        "COPY '--from=evil' a b",  # no option, so Docker looks for a file of this name
        "VOLUME /data",
        "HEALTHCHECK --interval=1s CMD curl http://localhost || exit 1",
        "EXPOSE 80",
        "WORKDIR /app",
        "WORKDIR /process",
        "ENV URL=http://x/y.git",
        "RUN pip install git+https://x/y.git",
        "RUN --mount=type=cache,target=/root/.cache pip install x",
        "RUN --mount=type=bind,target=/src x",
        "RUN --mount=type=tmpfs,target=/t x",
        "RUN --network=none x",
        "RUN --security=sandbox x",
        "ONBUILD RUN x",
        "LABEL a='--from=evil'",
        "USER nobody",
        'SHELL ["/bin/bash", "-c"]',
        "ENV X=\u00e9\N{GRINNING FACE}",
    ],
)
def test_look_alikes_pass(line: str) -> None:
    assert judged(f"FROM python:3.9\n{line}\n").refusals == ()


def test_a_missing_dockerfile_is_no_refusal() -> None:
    assert examine(None, ALLOWED) == PolicyResult()


@pytest.mark.parametrize("dockerfile", ["", "FRM python\n", "FROM\n", "FROM $X\n", "RUN x\n", b"\xff\xfeF\x00"])
def test_a_dockerfile_that_cannot_be_read_is_no_refusal(dockerfile: str | bytes) -> None:
    assert isinstance(parse(dockerfile if isinstance(dockerfile, bytes) else dockerfile.encode()), Unparsable)
    assert judged(dockerfile) == PolicyResult()


# ── what must not ───────────────────────────────────────────────────────────────────────


def test_an_image_that_is_not_allowed_is_named_with_those_that_are() -> None:
    (refusal,) = judged("\nFROM python:3.8-slim\n").refusals
    assert refusal.message == (
        "Dockerfile line 2: FROM python:3.8-slim: this image is not allowed here. "
        "Allowed: python:3.9, python:3.9-slim, python:latest."
    )
    assert (refusal.file, refusal.line) == ("Dockerfile", 2)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("ubuntu", "not allowed here. Without a tag, Docker takes ubuntu:latest. Allowed: "),
        ("docker.io/library/ubuntu", "not allowed here. Without a tag, Docker takes ubuntu:latest. Allowed: "),
        ("ubuntu:latest", "not allowed here. Allowed: "),
        ("ubuntu:24.04", "not allowed here. Allowed: "),
        ("ubuntu@sha256:" + "0" * 64, "not allowed here. Allowed: "),
    ],
)
def test_who_writes_no_tag_is_told_which_one_docker_takes(image: str, told: str) -> None:
    (refusal,) = judged(f"FROM {image}\n").refusals
    assert told in refusal.message


@pytest.mark.parametrize(
    ("dockerfile", "lines"),
    [
        ("FROM evil\n", [1]),
        ("FROM python:3.10\n", [1]),
        ("FROM python:3.9@sha256:" + "0" * 64 + "\n", [1]),
        ("FROM x.invalid/python:3.9\n", [1]),
        ("FROM localhost/python:3.9\n", [1]),
        ("FROM user/python:3.9\n", [1]),
        ("FROM python:3.9\nFROM evil\nFROM worse\n", [2, 3]),
        ("ARG I=evil\nFROM $I\n", [2]),
        ("FROM ${I:-evil}\n", [1]),
        ("FROM python:3.9\nCOPY --from=evil a b\n", [2]),
        ("FROM python:3.9\nCOPY --from=later a b\nFROM python:3.9 AS later\n", [2]),
        ("FROM python:3.9 AS self\nCOPY --from=self a b\n", [2]),
        ("FROM python:3.9\nCOPY --from=$X a b\n", [2]),
        ('FROM python:3.9\nCOPY --from="evil" a b\n', [2]),
        ("FROM python:3.9\nRUN --mount=type=bind,from=evil,target=/x y\n", [2]),
        ("FROM python:3.9\nRUN --mount=FROM=evil,target=/x y\n", [2]),
        ("FROM python:3.9\nRUN --mount=from=0,target=/x y\n", [2]),
        ('FROM python:3.9\nRUN --mount="from=evil" y\n', [2]),
        ("FROM python:3.9\nRUN --network=none --mount=from=evil,target=/x y\n", [2]),
        ("FROM python:3.9\nONBUILD COPY --from=evil a b\n", [2]),
        ("FROM --platform=linux/arm64 python:3.9\n", [1]),
        ("FROM --platform=$X python:3.9\n", [1]),
        ("# syntax=evil/frontend\nFROM python:3.9\n", [1]),
        ("# syntax=docker/dockerfile:1-labs\nFROM python:3.9\n", [1]),
        ("# syntax=docker/dockerfile:1 x\nFROM python:3.9\n", [1]),
        ("#!/usr/bin/env x\n# Syntax = evil\nFROM python:3.9\n", [2]),
        ("# a=b\n#\u00a0syntax=evil\nFROM python:3.9\n", [2]),
        ("\ufeff# syntax=evil\nFROM python:3.9\n", [1]),
        ("# syntax=evil\nFRM\n", [1]),
        ("FROM python:3.9\nRUN --network=host x\n", [2]),
        ("FROM python:3.9\nRUN --security=insecure x\n", [2]),
        ("FROM python:3.9\nRUN --device=x y\n", [2]),
        ("FROM python:3.9\nRUN --mount=type=ssh x\n", [2]),
        ("FROM python:3.9\nRUN --mount=type=secret,id=x x\n", [2]),
        ("FROM python:3.9\nRUN --mount=target=/x,Type=SSH x\n", [2]),
        ("FROM python:3.9\nRUN --mount=type=$T x\n", [2]),
        ("FROM python:3.9\nRUN \\\n  --mount=type=ssh \\\n x\n", [2]),
        ("FROM python:3.9\nONBUILD RUN --network=host x\n", [2]),
        ("FROM python:3.9\nWORKDIR /proc/self/fd/8\n", [2]),
        ("FROM python:3.9\nWORKDIR /app/../proc\n", [2]),
        ('FROM python:3.9\nWORKDIR "/pr"oc/1\n', [2]),
        ("FROM python:3.9\nWORKDIR /\nWORKDIR proc/self\n", [3]),
        ("FROM python:3.9\n" + "RUN x\n" * 200, [201]),
        ("FROM python:3.9\n" * 10_000, [201]),
    ],
)
def test_what_reaches_beyond_the_build_is_refused_with_its_line(dockerfile: str, lines: list[int]) -> None:
    found = judged(dockerfile)
    assert [refusal.line for refusal in found.refusals] == lines
    assert all(refusal.file == "Dockerfile" for refusal in found.refusals)
    assert found.bases == (), "nothing is fetched for what is not built"


@pytest.mark.parametrize(
    "source",
    [
        "http://x/y /z",
        "https://x/y.tar.gz /z",
        "ftp://x/y /z",
        "git@x:y.git /z",
        "me@x.invalid:y /z",
        "https://x/y.git#main /z",
        "x/y.git /z",
        'h"tt"p:"/"/x /z',
        "h\\ttp://x /z",
        "$URL /z",
        "${URL} a /z",
        '["http:\\/\\/x", "/z"]',
        '["h\\u0074tp://x", "/z"]',
        '["$URL", "/z"]',
        "--checksum=sha256:0 http://x /z",
        "a http://x/y /z",
    ],
)
@pytest.mark.parametrize("prefix", ["", "ONBUILD "])
def test_nothing_is_fetched_from_an_address(source: str, prefix: str) -> None:
    (refusal,) = judged(f"FROM python:3.9\n{prefix}ADD {source}\n").refusals
    assert refusal.line == 2
    assert refusal.message.startswith("Dockerfile line 2: ADD ")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"#" * 300_000, "300000 bytes"), (b"FROM python:3.9\n#" + b"x" * 70_000, "line 2: the line has")],
)
def test_absurd_sizes_are_refused(content: bytes, told: str) -> None:
    assert told in judged(content).refusals[0].message


def test_a_refusal_names_the_file() -> None:
    (refusal,) = examine(parse(b"FROM evil\n", path="dockerfile"), ALLOWED).refusals
    assert (refusal.file, refusal.message[:18]) == ("dockerfile", "dockerfile line 1:")


def test_the_machines_own_platform_may_be_named() -> None:
    assert judged("FROM --platform=linux/arm64 python:3.9\n", platform="linux/arm64").refusals == ()
    assert judged("FROM --platform=linux/amd64 python:3.9\n", platform="linux/arm64").refusals != ()


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(content: bytes) -> None:
    found = judged(b"FROM python:3.9\n" + content)
    assert not (found.refusals and found.bases)


@given(st.text("FROMpython:39evlAS$\\\n =-`#'\"<{}", max_size=60))
def test_no_image_is_needed_that_is_not_allowed(text: str) -> None:
    found = judged("FROM python:3.9\n" + text)
    assert set(found.bases) <= {"python:3.9", "python:3.9-slim", "python:latest"}


# ── names of images ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reference", "short"),
    [
        ("python", "python:latest"),
        ("python:3.9", "python:3.9"),
        ("library/python", "python:latest"),
        ("docker.io/python:3.9", "python:3.9"),
        ("index.docker.io/library/python:3.9", "python:3.9"),
        ("a/b", "a/b:latest"),
        ("docker.io/a/b:1", "a/b:1"),
        ("localhost/a", "localhost/a:latest"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
        ("x.invalid/a", "x.invalid/a:latest"),
        ("a@sha256:" + "0" * 64, "a@sha256:" + "0" * 64),
        ("Not A Name", "Not A Name"),
    ],
)
def test_names_have_one_normal_form(reference: str, short: str) -> None:
    assert normalised(reference) == short


@pytest.mark.parametrize(
    "text", ["", "Python", "a:", ":a", "a b", "a//b", "-a", "a:b:c", "a@b", "a" * 300, "http://a", "$a", "\u00e9"]
)
def test_what_is_no_name(text: str) -> None:
    assert reference_problem(text)


@pytest.mark.parametrize(
    ("reference", "patterns", "allowed"),
    [
        ("python:3.9", ["python:3.9"], True),
        ("python", ["python"], True),
        ("docker.io/library/python", ["python:latest"], True),
        ("python:3.9", ["docker.io/library/python:3.9"], True),
        ("python:3.9.1", ["python:3.9*"], True),
        ("python:3.10", ["python:3.1"], False),
        ("xpython:3.9", ["python:*"], False),
        ("a/python:3.9", ["python:*"], False),
        ("python:3.9", ["*"], True),
        ("python:3.9-slim", ["python:*-slim"], True),
        ("python:-slim", ["python:3*-slim"], False),
        ("python:3.9-a-b", ["python:*-a*b"], True),
        ("python:3.9", ["python:3.9*9"], False),
    ],
)
def test_patterns(reference: str, patterns: list[str], allowed: bool) -> None:
    assert is_allowed(reference, patterns) is allowed


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.9\nADD " + "a" * 64_000 + " /\n",
        "FROM python:3.9\nADD " + "a@" * 32_000 + " /\n",
        "# syntax=docker/dockerfile:1" + " " * 1_000_000 + "x\nFROM python:3.9\n",
        "#" + " " * 1_000_000 + "x\nFROM python:3.9\n",
    ],
)
def test_no_text_takes_minutes_to_read(text: str) -> None:
    # Each of the first three once took more than that: a pattern was tried from every character on.
    judged(text)


@pytest.mark.parametrize(
    "text",
    [
        "// syntax=evil/frontend\nFROM python:3.9\n",
        "#!/usr/bin/env docker\n\n//Syntax = evil\n",
        '{"syntax": "evil"}',
        '#!x\n {\n"SYNTAX": "evil"}',
    ],
)
def test_a_frontend_that_is_named_in_another_form_is_refused(text: str) -> None:
    assert "another program" in judged(text).refusals[0].message


@pytest.mark.parametrize("text", ["// a comment of another language\nFROM python:3.9\n", "{}\nFROM python:3.9\n"])
def test_other_nonsense_at_the_top_is_no_matter_of_safety(text: str) -> None:
    assert judged(text).refusals == ()
