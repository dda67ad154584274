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
from tests.engine.contexts import LIMITS

pytestmark = pytest.mark.engine

Python = Callable[..., RunOutcome]
Made = Callable[..., str]


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


def test_both_streams_count_for_the_output_limit(python: Python) -> None:
    code = "import sys\nsys.stdout.write('x' * 8000)\nsys.stderr.write('y' * 8000)"
    outcome = python(code, replace(LIMITS, output_kb=10))
    assert outcome.ended == OutputLimit(10 * 1024)
    assert len(outcome.stdout) + len(outcome.stderr) == 10 * 1024


def test_the_environment_is_the_images_and_the_requests(python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://grader.invalid:1")
    code = "import os; print(os.environ['METHOD'], 'PATH' in os.environ, 'PROXY' in str(os.environ).upper())"
    assert python(code, environment=(("METHOD", "a b=c"),)).stdout == b"a b=c True False\n"


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
    engine: DockerEngine, made: Made, code: bytes, address: str
) -> None:
    image = made('COPY serve.py /\nENTRYPOINT ["python", "/serve.py"]\n', {"serve.py": code})
    outcome = engine.run(image, RunRequest(args=(address,)), LIMITS)
    assert (outcome.stdout, outcome.ended) == (b"lo\n", Exited(0)), outcome.stderr


# ── commands that cannot be started ─────────────────────────────────────────────────────


def test_arguments_in_place_of_a_cmd_are_no_program(engine: DockerEngine, made: Made) -> None:
    image = made('CMD ["python", "-c", "print(1)"]\n')
    ended = engine.run(image, RunRequest(args=("100", "120", "110")), LIMITS).ended
    assert isinstance(ended, NotStarted)
    assert '"100": executable file not found' in ended.reason
    assert engine.run(image, RunRequest(), LIMITS).stdout == b"1\n"


FAR = f"/{'d' * 200}"
STARTS = [
    # lines of the Dockerfile; words of why it cannot be started, "" where it can
    ('ENTRYPOINT ["/etc/passwd"]\n', "permission denied"),
    ("USER nobody-here\n", "unable to find user"),
    ("ENTRYPOINT []\nCMD []\n", "neither ENTRYPOINT nor CMD"),
    ("USER 4294967297\n", "uids and gids must be in range"),
    ("WORKDIR /w\nRUN rmdir /w && touch /w\n", "is not a directory"),
    ("VOLUME /\n", "invalid mount config"),
    ("VOLUME /etc/hosts\n", "is not directory"),
    ("VOLUME /proc\n", "cannot be mounted"),
    ("RUN ln -s /l /l\nVOLUME /l\n", "too many links"),
    # The engine itself would open a pipe, and never come back: the container could not be removed.
    ("RUN rm /etc/passwd && mkfifo /etc/passwd\n", "no ordinary file"),
    ("RUN rm /etc/group && mkfifo /pipe && ln -s ../pipe /etc/group\n", "no ordinary file"),
    ("RUN cp -a /etc /elsewhere && rm -rf /etc/passwd && mkfifo /etc/passwd\n", "no ordinary file"),
    ("RUN rm /etc/passwd && mkdir /etc/passwd\n", "no ordinary file"),
    ("RUN rm /etc/passwd /etc/group\n", ""),
    (f"RUN mkdir {FAR} && mv /etc/passwd {FAR}/p && ln -s {FAR}/p /etc/passwd\n", ""),
]


@pytest.mark.parametrize(("dockerfile", "words"), STARTS)
def test_whether_an_image_can_be_started(engine: DockerEngine, made: Made, dockerfile: str, words: str) -> None:
    image = made(f'ENTRYPOINT ["true"]\n{dockerfile}')
    ended = engine.run(image, RunRequest(), LIMITS).ended
    assert isinstance(ended, NotStarted) is bool(words), ended
    assert words in str(ended)


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
    engine: DockerEngine, made: Made, dockerfile: str
) -> None:
    image = made(f'{dockerfile}ENTRYPOINT ["true"]\n')
    for request in (
        RunRequest(files=(MemoryFile("/app/data/file", b"1\n"),)),
        RunRequest(replaced=(MemoryFile("/app/script", b"1\n"),)),
        RunRequest(folders=(FolderMount("/app/out"),)),
    ):
        ended = engine.run(image, request, LIMITS).ended  # whatever it is, it is no EngineError
        assert not isinstance(ended, NotStarted) or "/var/lib/" not in ended.reason


def test_an_image_that_is_gone_is_not_the_students_fault(engine: DockerEngine) -> None:
    with pytest.raises(EngineError, match="No such image"):
        engine.run("sha256:" + "0" * 64, RunRequest(), LIMITS)


# ── files ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", ["/app/script.py", "/not/there/yet/script.py", "/link/script.py", "/app/link.py", "/tmp/script.py"]
)
def test_files_are_there_before_the_start(engine: DockerEngine, made: Made, path: str) -> None:
    image = made(
        'WORKDIR /app\nCOPY old script.py\nRUN ln -s /app /link && ln -s /etc/issue link.py\nENTRYPOINT ["python"]\n',
        {"old": b"print('old')\n"},
    )
    files = (MemoryFile(path, b"print('new')\n"),)
    outcome = engine.run(image, RunRequest(args=(path,), files=files), LIMITS)
    assert (outcome.ended, outcome.stdout) == (Exited(0), b"new\n"), outcome
    assert engine.run(image, RunRequest(args=("script.py",)), LIMITS).stdout == b"old\n"


def test_files_are_mounted_read_only_each_content_once(python: Python) -> None:
    files = (MemoryFile("/app/a", b"weeks", 0o444), MemoryFile("/app/b", b"weeks", 0o444))
    for _ in range(2):
        outcome = python("print(open('/app/b').read()); open('/app/a', 'r+')", files=files)
        assert outcome.stdout == b"weeks\n"
        assert b"Read-only file system: '/app/a'" in outcome.stderr


def test_what_the_image_has_in_tmp_and_in_volumes_is_seen(engine: DockerEngine, made: Made) -> None:
    image = made(
        'COPY a /tmp/a\nCOPY a /data/a\nVOLUME ["/data"]\nENTRYPOINT ["cat", "/tmp/a", "/data/a"]\n', {"a": b"seen\n"}
    )
    assert engine.run(image, RunRequest(), LIMITS).stdout == b"seen\nseen\n"


def _volumes(engine: DockerEngine) -> set[str]:
    """All volumes, but for those of private engines and of mounted files, which last as long as their engine object."""
    names = (one["Name"] for one in engine.connection.call("GET", "/volumes").json["Volumes"] or ())
    return {name for name in names if not name.startswith("grader-private-") and "-files-" not in name}


def test_declared_volumes_leave_no_volume_and_a_file_may_take_the_place_of_one(
    engine: DockerEngine, made: Made
) -> None:
    """`docker run -v FILE:PATH` has it there, in the place of the folder that VOLUME alone would make."""
    before = _volumes(engine)
    image = made(
        'WORKDIR /app\nVOLUME ["/one", "/one/", "//one", "/two", "three", "/app/sales.txt/"]\n'
        'ENTRYPOINT ["sh", "-c", "touch /one/a /two/b /three/c && cat sales.txt || ls -d sales.txt"]\n'
    )
    files = (MemoryFile("/app/sales.txt", b"1\n2\n", 0o444), MemoryFile("/app/other", b"x"))
    assert engine.run(image, RunRequest(files=files), LIMITS).stdout == b"1\n2\n"
    assert engine.run(image, RunRequest(), LIMITS).stdout == b"sales.txt\n"
    left, until = _volumes(engine) - before, time.monotonic() + 30
    while left and time.monotonic() < until:  # those of other tests' runs go within seconds
        time.sleep(0.5)
        left &= _volumes(engine)
    assert left == set()


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
