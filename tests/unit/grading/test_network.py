"""Whose fault is a build that could not fetch? The network's, where a probe of the grader's own fails as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grader.course.models import Limits
from grader.engine.protocol import BuildJob
from grader.errors import EngineError
from grader.grading.executor import Engines, Executor
from grader.grading.network import signs, suspicion
from grader.models import (
    BuildFailed,
    BuildRequest,
    BuildStep,
    Built,
    ComposeRequest,
    ComposeSeen,
    Exited,
    FailedCommand,
    MemoryFile,
    RunOutcome,
    ScriptRequest,
    ScriptSeen,
)
from grader.submissions.models import ExerciseFiles
from tests.fakes import FakeEngine
from tests.unit.grading.test_executor import FakeSandboxes
from tests.worlds import image

OF_THE_NETWORK = [
    "W: Failed to fetch http://deb/debian/dists/bullseye/InRelease  Temporary failure resolving 'deb'",
    "E: Failed to fetch http://deb/debian/pool/tzdata_2024b.deb  503  Service Unavailable [IP: 1.2.3.4 80]",
    "E: Failed to fetch http://deb/debian/pool/tzdata_2024b.deb  Connection failed [IP: 1.2.3.4 80]",
    "Err:1 http://deb/debian bullseye InRelease  Could not connect to deb:80 (1.2.3.4), connection timed out",
    "E: Failed to fetch http://deb/x.xz  File has unexpected size (1 != 2). Mirror sync in progress?",
    "E: Failed to fetch store:/var/lib/apt/lists/partial/x  Hash Sum mismatch",
    "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(...)': /simple/click/",
    "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='files', port=443): Read timed out.",
    "ERROR: Could not install packages due to an OSError: HTTPSConnectionPool(): Max retries exceeded with url: /a",
    "ERROR: HTTP error 502 while getting https://files/click-8.1.7-py3-none-any.whl",
    "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://index/simple/click/",
    "ConnectionResetError: [Errno 104] Connection reset by peer",
    "  Caused by: error sending request for url (https://index/simple/click/)",
    "All attempts to connect to index failed.",
    "curl: (6) Could not resolve host: example.org",
    "curl: (22) The requested URL returned error: 503",
    "wget: unable to resolve host address 'example.org'",
    "WARNING: fetching http://dl-cdn/alpine/v3.19/main: temporary error (try again later)",
    "fatal: unable to access 'https://example.org/x.git/': Could not resolve host: example.org",
    "socket.gaierror: [Errno -3] Temporary failure in name resolution",
    "dial tcp: lookup index on 10.0.0.1:53: read udp: i/o timeout",
]
DISTRUSTED = [
    "  Caused by: invalid peer certificate: UnknownIssuer",
    "curl: (60) SSL certificate problem: unable to get local issuer certificate",
    "fatal: unable to access 'https://example.org/x.git/': server certificate verification failed. CAfile: none",
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain",
    "  Certificate verification failed: The certificate is NOT trusted. The certificate issuer is unknown.",
    "Get https://index/: x509: certificate signed by unknown authority",
    "npm ERR! code SELF_SIGNED_CERT_IN_CHAIN",
]
OF_THE_STUDENT = [
    "ERROR: No matching distribution found for nmupy",
    "ERROR: Could not find a version that satisfies the requirement nmupy (from versions: none)",
    "E: Unable to locate package tzdatta",
    "E: Failed to fetch http://deb/debian/pool/tzdata_2019.deb  404  Not Found [IP: 1.2.3.4 80]",
    "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?",
    "ModuleNotFoundError: No module named 'requests'",
    "curl: (22) The requested URL returned error: 404",
    "curl: (3) URL using bad/illegal format or missing URL",
    "/bin/sh: 1: pipp: not found",
    "Downloading click-8.1.7-py3-none-any.whl (500 kB)",
    "Get:1 http://deb/debian bullseye/main amd64 libcurl4 amd64 7.74.0-1.3 [503 kB]",
    "Predicted sales for next week: 502",
]


@pytest.mark.parametrize("line", OF_THE_NETWORK + OF_THE_STUDENT + DISTRUSTED)
def test_only_signs_of_the_network_are_a_reason_to_try_again_and_only_certificates_one_to_ask_for_them(
    line: str,
) -> None:
    seen = failed(f"Collecting click\n  {line}\nand more\n")
    found = suspicion(seen)
    assert bool(signs(seen)) == (line in OF_THE_NETWORK)
    assert (found is not None and found.tools == ("certificates",)) == (line in DISTRUSTED)
    assert line not in OF_THE_NETWORK or found


# ── tries ───────────────────────────────────────────────────────────────────────────────

NO_NAMES = "Temporary failure resolving 'deb'"
UNSERVED = "Resolving dependencies...\n\nPackage pandas (2.3.3) not found."
UNKNOWN = "ERROR: Could not find a version that satisfies the requirement numpi (from versions: none)"
FILES = ExerciseFiles(
    "3.1.1", "folder", (MemoryFile("Dockerfile", b"FROM python:3.9\nRUN x\n"), MemoryFile("commands.sh", b"x\n")), "d"
)


def failed(log: str) -> BuildFailed:
    return BuildFailed("exit code: 1", line=2, steps=(BuildStep("[1/2] FROM"), BuildStep("RUN x", log=log, error="1")))


def probed(log: str) -> Built:
    return Built("sha256:probe", image().config, (BuildStep("RUN", log=log),))


def engine(*answers: Built | BuildFailed, probe: Built | BuildFailed) -> FakeEngine:
    """Builds of the student's come to `answers`, one after the other; those of the grader's probe to `probe`."""
    left = iter(answers)

    def build(job: BuildJob) -> Built | BuildFailed:
        return probe if job.name == "network" else next(left)

    return FakeEngine(build)


def executor(
    made: FakeEngine, sandboxes: FakeSandboxes | None = None, *, bases: tuple[str, ...] = ("python:3.9",)
) -> Executor:
    return Executor(Engines(made, sandboxes or FakeSandboxes()), FILES, Limits(), "ex", lambda _: None, bases=bases)


UP = probed("pip: No matching distribution found for numpy==0 (from versions: 1.19, 2.0)")
DOWN = probed(f"Err:1 http://deb/debian bullseye InRelease\n  {NO_NAMES}\nW: Failed to fetch http://deb/x  {NO_NAMES}")
STUMBLED = probed(
    f"Ign:1 http://deb/debian\n  {NO_NAMES}\nWARNING: Retrying after connection broken by\n(from versions: 1)"
)
RIGHT = image()


@pytest.mark.parametrize(
    ("answers", "probe", "seen", "probes"),
    [
        ([RIGHT], DOWN, RIGHT, 0),
        ([failed("exit 1")], DOWN, failed("exit 1"), 0),
        ([failed(NO_NAMES), RIGHT], DOWN, RIGHT, 0),
        ([failed(NO_NAMES), failed(NO_NAMES), RIGHT], DOWN, RIGHT, 0),
        ([failed(NO_NAMES), failed("misspelt")], DOWN, failed("misspelt"), 0),
        ([failed(NO_NAMES)] * 3, UP, failed(NO_NAMES), 1),
        ([failed(NO_NAMES)] * 3, STUMBLED, failed(NO_NAMES), 1),
        ([failed(UNKNOWN)], UP, failed(UNKNOWN), 1),
        ([failed(UNSERVED)], UP, failed(UNSERVED), 1),
        ([failed(DISTRUSTED[0])], UP, failed(DISTRUSTED[0]), 1),
        ([BuildFailed("unknown instruction")], DOWN, BuildFailed("unknown instruction"), 0),
    ],
    ids=[
        "nothing failed", "no sign", "once", "twice", "then it is the student's", "printed by the student",
        "the probe stumbled", "misspelt", "in no index", "distrust printed by the student", "no step failed",
    ],
)  # fmt: skip
def test_what_fails_for_want_of_the_network_is_tried_again(
    answers: list[Built | BuildFailed], probe: Built, seen: Built | BuildFailed, probes: int
) -> None:
    made = engine(*answers, probe=probe)
    with executor(made) as observe:
        assert observe(BuildRequest()) == seen
    names = [job.name for job in made.builds]
    assert names == ["ex"] * len(answers) + ["network"] * probes
    assert made.removed.count("sha256:probe") == probes


@pytest.mark.parametrize(
    ("answers", "probe", "told"),
    [
        ([failed(NO_NAMES)] * 3, DOWN, "The grader: W: Failed to fetch"),
        (
            [failed(UNKNOWN)],
            probed("(from versions: none)\n" * 2),
            "The grader: pip found no version of pip and numpy.",
        ),
        ([failed(UNSERVED)], probed("\nThe index has pandas==2.3.3.\n"), "The grader: The index has"),
        ([failed(DISTRUSTED[0])], probed(DISTRUSTED[3]), "a proxy brings certificates of its own"),
        ([failed(NO_NAMES)] * 3, BuildFailed("Stopped at the build's limit of 60 s.", "timed_out"), "limit of 60 s"),
    ],
    ids=["no names", "the index answers with errors", "the index answers pip alone", "certificates", "nothing answers"],
)
def test_where_the_grader_cannot_fetch_either_nobody_is_blamed(
    answers: list[Built | BuildFailed], probe: Built | BuildFailed, told: str
) -> None:
    with executor(engine(*answers, probe=probe)) as observe, pytest.raises(EngineError, match=told):
        observe(BuildRequest())


def test_the_probe_fetches_on_each_base_image_and_never_twice_from_the_cache() -> None:
    made = engine(*[failed(NO_NAMES)] * 6, probe=UP)
    for _ in range(2):
        with executor(made, bases=("python:3.9", "debian:12")) as observe:
            observe(BuildRequest())
    probes = [job.dockerfile.built for job in made.builds if job.name == "network"]
    assert [text.split(b"\n")[0] for text in probes] == [b"FROM python:3.9", b"FROM debian:12"] * 2
    assert len(set(probes)) == 4


# ── scripts and Compose ─────────────────────────────────────────────────────────────────

COMMAND = FailedCommand(2, 1, "docker build -t sales-predictor .")
SCRIPT_FAILED = ScriptSeen("script", RunOutcome(Exited(0), stderr=NO_NAMES.encode()), failed=(COMMAND,))
SCRIPT_RIGHT = ScriptSeen("script", RunOutcome(Exited(0), stderr=NO_NAMES.encode()))
COMPOSE_FAILED = ComposeSeen(RunOutcome(Exited(0)), RunOutcome(Exited(17), stdout=NO_NAMES.encode()))


class Flaky(FakeSandboxes):
    """Sandboxes in which the first `times` scripts and Compose builds have no network."""

    def __init__(self, times: int) -> None:
        answers: Iterator[bool] = iter([True] * times + [False])
        super().__init__(lambda: SCRIPT_FAILED if next(answers) else SCRIPT_RIGHT)
        self._answers = answers

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        super().compose(files, request, limits)
        return COMPOSE_FAILED if next(self._answers) else ComposeSeen(RunOutcome(Exited(0)))


def test_a_script_and_compose_are_tried_again_in_another_sandbox() -> None:
    for request, right, what in (
        (ScriptRequest(), SCRIPT_RIGHT, "script"),
        (ComposeRequest(), ComposeSeen(RunOutcome(Exited(0))), "compose config"),
    ):
        sandboxes = Flaky(2)
        with executor(engine(probe=DOWN), sandboxes) as observe:
            assert observe(request) == right
        assert sandboxes.heard == ["taken", what, "given back"] * 3


@pytest.mark.parametrize("request_", [ScriptRequest(), ComposeRequest()], ids=["script", "compose"])
def test_a_script_that_nobody_could_have_run_is_nobodys_fault(request_: ScriptRequest | ComposeRequest) -> None:
    sandboxes = Flaky(3)
    with (
        executor(engine(probe=DOWN), sandboxes) as observe,
        pytest.raises(EngineError, match="and the package index"),
    ):
        observe(request_)
    assert sandboxes.heard.count("taken") == sandboxes.heard.count("given back") == 3
