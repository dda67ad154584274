"""Running: how runs end, what is seen of them, what limits do, and that nothing is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine
from grader.engine.watchdog import Cancelled
from grader.errors import EngineError
from grader.models import (
    Built,
    Exited,
    FolderMount,
    MemoryFile,
    NotStarted,
    OutOfMemory,
    OutputLimit,
    RunEnd,
    RunOutcome,
    RunRequest,
    TimedOut,
)
from tests.engine.contexts import LIMITS, Build

pytestmark = pytest.mark.engine

Python = Callable[..., RunOutcome]


@pytest.fixture
def python(engine: DockerEngine, image: str) -> Python:
    """Run Python code in a container."""

    def run(code: str, limits: Limits = LIMITS, **request: object) -> RunOutcome:
        return engine.run(image, replace(RunRequest(args=("-c", code)), **request), limits)  # type: ignore[arg-type]  # fields by name

    return run


ENDS = [
    ("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", {}, Exited(3), b"out\n"),
    ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)", {}, Exited(0), bytes(range(256)) * 300),
    ("print('begun', flush=True)\nwhile True: pass", {"run_seconds": 2}, TimedOut(2), b"begun\n"),
    ("import os, time; os.close(1); os.close(2); time.sleep(1000)", {"run_seconds": 2}, TimedOut(2), b""),
    ("import subprocess; subprocess.Popen(['sleep', '1000']); print('done')", {}, Exited(0), b"done\n"),
    ("x = bytearray(1); \nwhile True: x += bytearray(10**7)", {}, OutOfMemory(64 * 2**20), b""),
    ("import subprocess as s; print(s.call(['python', '-c', 'bytearray(10**9)']))", {}, Exited(0), b"-9\n"),
    ("raise SystemExit(137)", {}, Exited(137), b""),
    ("while True: print('x' * 1023)", {"output_kb": 10}, OutputLimit(10 * 1024), (b"x" * 1023 + b"\n") * 10),
]


@pytest.mark.parametrize(
    ("code", "limits", "ended", "stdout"),
    ENDS,
    ids=[
        "both streams and the code", "any bytes", "endless", "output closed", "a child holds the output",
        "too much memory", "only a child's memory", "says 137 itself", "too much output",
    ],
)  # fmt: skip
def test_how_a_run_ends(python: Python, code: str, limits: dict[str, int], ended: RunEnd, stdout: bytes) -> None:
    outcome = python(code, replace(LIMITS, **limits))
    assert (outcome.ended, outcome.stdout) == (ended, stdout)
    assert not isinstance(ended, TimedOut) or outcome.seconds >= ended.seconds


def test_environment_is_added_to_the_images(python: Python) -> None:
    outcome = python("import os; print(os.environ['METHOD'], 'PATH' in os.environ)", environment=(("METHOD", "a b=c"),))
    assert outcome.stdout == b"a b=c True\n"


def test_the_proxies_of_the_grader_are_not_passed_on(python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://grader.invalid:1")
    outcome = python("import os; print([name for name in os.environ if 'proxy' in name.lower()])")
    assert outcome.stdout == b"[]\n"


def test_both_streams_count_for_the_output_limit(python: Python) -> None:
    code = "import sys\nsys.stdout.write('x' * 8000)\nsys.stderr.write('y' * 8000)"
    outcome = python(code, replace(LIMITS, output_kb=10))
    assert outcome.ended == OutputLimit(10 * 1024)
    assert len(outcome.stdout) + len(outcome.stderr) == 10 * 1024


def test_processes_are_limited(python: Python) -> None:
    code = """
import os, sys, time
for n in range(200):
    try:
        if os.fork() == 0: time.sleep(1000)
    except OSError:
        print(n); sys.exit()
"""
    outcome = python(code, replace(LIMITS, processes=20))
    assert outcome.ended == Exited(0)
    assert int(outcome.stdout) < 20


def test_there_is_no_network_few_capabilities_and_a_small_tmp(python: Python) -> None:
    code = """
import os, socket
print(sorted(os.listdir('/sys/class/net')))
print([line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapBnd', 'NoNewPrivs'))])
try:
    open('/tmp/big', 'wb').write(bytes(3 * 2**20))
except OSError as error:
    print(error.strerror)
open('/written', 'w').write('the rest of the file system is as docker run has it')
"""
    outcome = python(code, replace(LIMITS, tmp_mb=2))
    assert outcome.ended == Exited(0), outcome.stderr
    kept = "00000000000005fb"  # the bits of `CAPABILITIES` in linux/capability.h
    assert outcome.stdout.decode().splitlines() == ["['lo']", f"['{kept}', '1']", "No space left on device"]


def test_root_may_hand_over_a_mounted_folder_and_become_its_user(engine: DockerEngine, image: str) -> None:
    become = "setpriv --reuid=1000 --regid=1000 --clear-groups"
    code = f"mkdir -p /out/sub && chown -R 1000:1000 /out && {become} touch /out/sub/a && id -u"
    request = RunRequest(entrypoint=("sh", "-c", code), folders=(FolderMount("/out"),))
    outcome = engine.run(image, request, LIMITS)
    assert (outcome.ended, outcome.stdout) == (Exited(0), b"0\n"), outcome
    assert [file.path for file in outcome.folders[0].files] == ["sub/a"]


SERVER = b"""
import os, socket, sys
with socket.create_server((sys.argv[1], 0)) as server, socket.create_connection(server.getsockname()):
    print(*os.listdir('/sys/class/net'))
"""


@pytest.mark.parametrize(("code", "address"), [(SERVER, "127.0.0.1"), (b"# on localhost" + SERVER, "localhost")])
def test_a_program_may_talk_to_itself_by_number_and_by_a_name_that_is_in_its_code(
    engine: DockerEngine, build: Build, code: bytes, address: str
) -> None:
    built = build('COPY serve.py /\nENTRYPOINT ["python", "/serve.py"]\n', {"serve.py": code})
    assert isinstance(built, Built)
    outcome = engine.run(built.image, RunRequest(args=(address,)), LIMITS)
    assert (outcome.stdout, outcome.ended) == (b"lo\n", Exited(0)), outcome.stderr


# ── commands that cannot be started ─────────────────────────────────────────────────────


def test_arguments_in_place_of_a_cmd_are_no_program(engine: DockerEngine, build: Build) -> None:
    built = build('CMD ["python", "-c", "print(1)"]\n')
    assert isinstance(built, Built)
    ended = engine.run(built.image, RunRequest(args=("100", "120", "110")), LIMITS).ended
    assert isinstance(ended, NotStarted)
    assert '"100": executable file not found' in ended.reason
    assert engine.run(built.image, RunRequest(), LIMITS).stdout == b"1\n"


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ('ENTRYPOINT ["/etc/passwd"]\n', "permission denied"),
        ('USER nobody-here\nENTRYPOINT ["true"]\n', "unable to find user"),
        ("ENTRYPOINT []\nCMD []\n", "neither ENTRYPOINT nor CMD"),
        ('USER 4294967297\nENTRYPOINT ["true"]\n', "uids and gids must be in range"),
        ('WORKDIR /w\nRUN rmdir /w && touch /w\nENTRYPOINT ["true"]\n', "is not a directory"),
        ('VOLUME /\nENTRYPOINT ["true"]\n', "invalid mount config"),
        ('VOLUME /etc/hosts\nENTRYPOINT ["true"]\n', "is not directory"),
        ('VOLUME /proc\nENTRYPOINT ["true"]\n', "cannot be mounted"),
        ('RUN ln -s /l /l\nVOLUME /l\nENTRYPOINT ["true"]\n', "too many links"),
    ],
)
def test_an_image_that_cannot_be_started(engine: DockerEngine, build: Build, dockerfile: str, words: str) -> None:
    built = build(dockerfile)
    assert isinstance(built, Built), built
    ended = engine.run(built.image, RunRequest(), LIMITS).ended
    assert isinstance(ended, NotStarted), ended
    assert words in ended.reason


@pytest.mark.parametrize(
    "dockerfile",
    [
        "RUN touch /app\n",  # a file where a folder belongs
        "RUN ln -s /app /app\n",
        "RUN mkdir /app && ln -s /app/script /app/script && ln -s /app/out /app/out && ln -s nowhere/x /app/data\n",
        "RUN ln -s /proc/self /app\n",
        "RUN mkdir -p /app/data/file\n",  # a folder where a file belongs
    ],
)
def test_what_is_in_the_way_in_an_image_is_not_the_engines_fault(
    engine: DockerEngine, build: Build, dockerfile: str
) -> None:
    built = build(f'{dockerfile}ENTRYPOINT ["true"]\n')
    assert isinstance(built, Built), built
    data = (MemoryFile("/app/data/file", b"1\n"),)
    script = (MemoryFile("/app/script", b"1\n"),)
    for request in (
        RunRequest(files=data),
        RunRequest(replaced=script),
        RunRequest(folders=(FolderMount("/app/out"),)),
    ):
        ended = engine.run(built.image, request, LIMITS).ended  # whatever it is, it is no EngineError
        assert not isinstance(ended, NotStarted) or "/var/lib/" not in ended.reason


@pytest.mark.parametrize(
    "made",
    [
        "rm /etc/passwd && mkfifo /etc/passwd",
        "rm /etc/group && mkfifo /pipe && ln -s ../pipe /etc/group",
        "cp -a /etc /elsewhere && rm -rf /etc/passwd && mkfifo /etc/passwd",
        "rm /etc/passwd && mkdir /etc/passwd",
    ],
)
def test_users_in_a_pipe_are_not_waited_for(engine: DockerEngine, build: Build, made: str) -> None:
    """The engine itself would open it, and never come back: the container could not be removed."""
    built = build(f'RUN {made}\nENTRYPOINT ["true"]\n')
    assert isinstance(built, Built), built
    end = engine.run(built.image, RunRequest(), LIMITS).ended
    assert isinstance(end, NotStarted)
    assert "no ordinary file" in end.reason


FAR = f"/{'d' * 200}"


@pytest.mark.parametrize(
    "made", ["rm /etc/passwd /etc/group", f"mkdir {FAR} && mv /etc/passwd {FAR}/p && ln -s {FAR}/p /etc/passwd"]
)
def test_users_elsewhere_or_nowhere_are_fine(engine: DockerEngine, build: Build, made: str) -> None:
    built = build(f'RUN {made}\nENTRYPOINT ["true"]\n')
    assert isinstance(built, Built), built
    assert engine.run(built.image, RunRequest(), LIMITS).ended == Exited(0)


def test_an_image_that_is_gone_is_not_the_students_fault(engine: DockerEngine) -> None:
    with pytest.raises(EngineError, match="No such image"):
        engine.run("sha256:" + "0" * 64, RunRequest(), LIMITS)


# ── files ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", ["/app/script.py", "/not/there/yet/script.py", "/link/script.py", "/app/link.py", "/tmp/script.py"]
)
def test_files_are_there_before_the_start(engine: DockerEngine, build: Build, path: str) -> None:
    built = build(
        'WORKDIR /app\nCOPY old script.py\nRUN ln -s /app /link && ln -s /etc/issue link.py\nENTRYPOINT ["python"]\n',
        {"old": b"print('old')\n"},
    )
    assert isinstance(built, Built), built
    files = (MemoryFile(path, b"print('new')\n"),)
    outcome = engine.run(built.image, RunRequest(args=(path,), files=files), LIMITS)
    assert (outcome.ended, outcome.stdout) == (Exited(0), b"new\n"), outcome
    assert engine.run(built.image, RunRequest(args=("script.py",)), LIMITS).stdout == b"old\n"


def test_files_are_mounted_read_only_each_content_once(engine: DockerEngine, image: str) -> None:
    code = "print(open('/app/b').read()); open('/app/a', 'r+')"
    files = (MemoryFile("/app/a", b"weeks", 0o444), MemoryFile("/app/b", b"weeks", 0o444))
    for _ in range(2):
        outcome = engine.run(image, RunRequest(args=("-c", code), files=files), LIMITS)
        assert outcome.stdout == b"weeks\n"
        assert b"Read-only file system: '/app/a'" in outcome.stderr


def test_what_the_image_has_in_tmp_and_in_volumes_is_seen(engine: DockerEngine, build: Build) -> None:
    built = build(
        'COPY a /tmp/a\nCOPY a /data/a\nVOLUME ["/data"]\nENTRYPOINT ["cat", "/tmp/a", "/data/a"]\n', {"a": b"seen\n"}
    )
    assert isinstance(built, Built), built
    assert engine.run(built.image, RunRequest(), LIMITS).stdout == b"seen\nseen\n"


def _volumes(engine: DockerEngine) -> set[str]:
    """All volumes, but for those of private engines and of mounted files, which last as long as their engine object."""
    names = (one["Name"] for one in engine._connection.call("GET", "/volumes").json["Volumes"] or ())
    return {name for name in names if not name.startswith("grader-private-") and "-files-" not in name}


def _stay(engine: DockerEngine, before: set[str]) -> set[str]:
    """Of the volumes that are new, those that stay; those of other tests' runs go within seconds."""
    found = _volumes(engine) - before
    for _ in range(60):
        if not found:
            break
        time.sleep(0.5)
        found &= _volumes(engine)
    return found


def test_a_declared_volume_leaves_no_volume(engine: DockerEngine, build: Build) -> None:
    before = _volumes(engine)
    built = build(
        'WORKDIR /app\nVOLUME ["/one", "/one/", "//one", "/two", "three"]\n'
        'ENTRYPOINT ["touch", "/one/a", "/two/b", "/three/c"]\n'
    )
    assert isinstance(built, Built), built
    assert engine.run(built.image, RunRequest(), LIMITS).ended == Exited(0)
    assert _stay(engine, before) == set()


def test_a_file_in_the_place_of_a_declared_volume(engine: DockerEngine, build: Build) -> None:
    """`docker run -v FILE:PATH` has it there, in the place of the folder that VOLUME alone would make."""
    before = _volumes(engine)
    built = build('VOLUME /app/sales.txt/\nUSER 1000\nENTRYPOINT ["sh", "-c", "cat /app/sales.txt || ls -d /app/*"]\n')
    assert isinstance(built, Built), built
    files = (MemoryFile("/app/sales.txt", b"1\n2\n", 0o444), MemoryFile("/app/other", b"x"))
    assert engine.run(built.image, RunRequest(files=files), LIMITS).stdout == b"1\n2\n"
    assert engine.run(built.image, RunRequest(), LIMITS).stdout == b"/app/sales.txt\n"
    assert _stay(engine, before) == set()


# ── many at once, and stopping ──────────────────────────────────────────────────────────


def test_several_threads_on_one_engine(python: Python) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda n: python(f"print({n})"), range(8)))
    assert [outcome.stdout for outcome in outcomes] == [f"{n}\n".encode() for n in range(8)]


def test_cancel_ends_runs_in_all_threads(engine: DockerEngine, python: Python) -> None:
    threading.Timer(2, engine.cancel).start()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(python, "import time; time.sleep(1000)", replace(LIMITS, run_seconds=60)) for _ in range(2)]
        for run in runs:
            with pytest.raises(Cancelled):
                run.result()


def test_ctrl_c_in_a_run_leaves_nothing(python: Python) -> None:
    threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        python("import time; time.sleep(1000)", replace(LIMITS, run_seconds=60))


def test_the_engines_warnings_are_kept(engine: DockerEngine, python: Python) -> None:
    python("pass")
    assert not [warning for warning in engine.warnings if "discarded" in warning.lower()]
