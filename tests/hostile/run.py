"""One real `grader batch` over hostile submissions, in a world with things planted in it, and everything it left behind.

The grader gets a home, a cache, a folder for temporary files and a working directory of its own, so that what it writes
where it should not is seen. Programs of the machine that it must not start are replaced by ones that tell. Secrets lie
where a submission might look; objects of somebody else stand in the engine.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from grader.batch.journal import Graded, Journal
from tests.hostile.corpus import HostileCase, write_case, write_clean
from tests.hostile.makers import MARK

ROOT = Path(__file__).parents[2]
BASE = "python:3.9-slim"
SEED = "20240229"

LIMITS = {"build_seconds": 90, "script_seconds": 60, "run_seconds": 10}
"""Many times what an honest one takes, also where the machine has other work: no quick case should meet one of them."""
SHORT = {"build_seconds": 25, "script_seconds": 30, "run_seconds": 5}
"""For slow cases, so that what never ends ends soon. Those are graded one at a time."""

NOT_TO_BE_STARTED = ("bash", "docker", "docker-compose", "env", "git", "sh", "ssh", "tar", "unzip")
"""Programs that a grader which executes what students hand in would need on the machine itself."""


def docker(*words: str) -> str:
    """What a docker command prints. `CalledProcessError` if it fails."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


# ── what is planted ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Planted:
    """What is laid out for hostile submissions below `root`.

    `secrets` are texts by where they lie; `words` is what `@WORD@` means in the corpus; `hits` are the requests that the
    web server of this machine got.
    """

    root: Path
    secrets: Mapping[str, str]
    words: Mapping[str, str]
    hits: list[str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the grader: nothing of this user's, and a secret."""
        kept = {name: value for name, value in os.environ.items() if name in {"DOCKER_HOST", "LANG", "GRADER_BUILDER"}}
        return {
            **kept,
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.root / "home"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "TMPDIR": str(self.root / "tmp"),
            "DEPLOY_TOKEN": self.secrets["environment"],
        }

    def started(self) -> list[str]:
        """The programs that were started although they must not be."""
        log = self.root / "started"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def plant(root: Path, name: str, address: str, hits: list[str]) -> Planted:
    """Lay out home, secrets and programs below `root`. `name` is that of the bystanders in the engine."""
    told = {where: f"secret-of-{where}-{secrets.token_hex(8)}" for where in ("environment", "home", "sibling")}
    for folder in ("home/.docker", "cache", "tmp", "here", "class", "bin"):
        (root / folder).mkdir(parents=True)
    (root / "home/secret.txt").write_text(f"{told['home']}\n", encoding="utf-8")
    told["registry"] = base64.b64encode(f"user:{told['home']}".encode()).decode()
    auth = {"auths": {"registry.invalid": {"auth": told["registry"]}}}
    (root / "home/.docker/config.json").write_text(json.dumps(auth), encoding="utf-8")
    for program in NOT_TO_BE_STARTED:
        path = root / "bin" / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>{root}/started\nexit 1\n', encoding="utf-8")
        path.chmod(0o755)
    words = {
        "CANARY": address,
        "BYSTANDER": name,
        "HOSTFILE": str(root / "home/secret.txt"),
        "SIBLING": str(root / "class/00-sibling/3.1.4/notes.txt"),
        "MARK": MARK,
    }
    return Planted(root, told, words, hits)


@contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """A web server that containers can reach: its address, and the paths that it was asked for."""
    hits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    shown = subprocess.run(["ip", "-4", "-o", "addr", "show", "docker0"], capture_output=True, text=True, check=False)
    bridge = re.search(r"inet ([0-9.]+)", shown.stdout)  # this machine's address as containers see it
    with http.server.ThreadingHTTPServer(("", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{bridge[1] if bridge else '127.0.0.1'}:{server.server_port}", hits
        server.shutdown()


@contextmanager
def bystander() -> Iterator[str]:
    """A container that runs, an image, a volume with a file in it and a network, all of one name, of somebody else."""
    name = f"bystander-{secrets.token_hex(4)}"
    try:
        docker("volume", "create", name)
        docker("network", "create", name)
        put = "echo kept > /data/file; exec sleep 3600"
        docker("run", "-d", "--name", name, "--network", name, "-v", f"{name}:/data", BASE, "sh", "-c", put)
        docker("commit", name, f"{name}:latest")
        yield name
    finally:
        for words in (["rm", "-f", name], ["rmi", f"{name}:latest"], ["volume", "rm", name], ["network", "rm", name]):
            with suppress(subprocess.CalledProcessError):
                docker(*words)


def bystander_state(name: str) -> tuple[str, ...]:
    """All that must stay as it is about the bystander of that name, and about the base image."""
    return (
        docker("container", "inspect", "-f", "{{.Id}} {{.State.Running}} {{.State.StartedAt}}", name),
        docker("top", name, "-o", "pid,args"),
        docker("diff", name),
        docker("image", "inspect", "-f", "{{.Id}} {{.RepoTags}}", name),
        docker("volume", "inspect", "-f", "{{.Name}} {{.CreatedAt}}", name),
        docker("exec", name, "cat", "/data/file"),
        docker("network", "inspect", "-f", "{{.Id}} {{len .Containers}}", name),
        docker("image", "inspect", "-f", "{{.Id}}", BASE),
    )


def course_copy(target: Path, limits: Mapping[str, int]) -> Path:
    """The course, with other limits."""
    text = (ROOT / "exercises.yaml").read_text(encoding="utf-8")
    for name, value in limits.items():
        text, count = re.subn(rf"(?m)^  {name}: .*$", f"  {name}: {value}", text)
        assert count == 1, name
    (target / "reference").mkdir(parents=True)
    (target / "exercises.yaml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "reference/predictor.py", target / "reference")
    return target


# ── the run ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A batch that has ended, and what was seen around it.

    `students` gives the student of each case, `clean` those with right submissions, each after hostile ones.
    `peak_kb` is the most memory that the grader itself held. `bystander` and `files` are each as before and as after;
    the files are the paths below the root, but for results and cache. `texts` is everything that anybody may read of
    it, but for the submissions themselves, which the journal keeps.
    """

    planted: Planted
    students: Mapping[str, str]
    clean: Sequence[str]
    gradings: Mapping[tuple[str, str], Graded]
    code: int
    pid: int
    peak_kb: int
    bystander: tuple[object, object]
    files: tuple[Mapping[str, str], Mapping[str, str]]
    texts: Mapping[str, str]

    @property
    def out(self) -> Path:
        return self.planted.root / "out"


def run_batch(
    root: Path, cases: Sequence[HostileCase], limits: Mapping[str, int], *, jobs: int, clean_every: int
) -> Ran:
    """Grade these cases, with clean submissions between them, and look at everything before and after."""
    with canary() as (address, hits), bystander() as name:
        planted = plant(root, name, address, hits)
        students, clean = _write_class(planted, cases, clean_every)
        course = course_copy(root / "course", limits)
        exercises = sorted({case.exercise for case in cases} | {"3.1.4"})
        bystander_before, files_before = bystander_state(name), _files(root)
        code, pid, peak = _grade(planted, course, exercises, jobs)
        printed = (root / "printed").read_bytes().decode("utf-8")
        (root / "printed").unlink()
        bystander_after, files_after = bystander_state(name), _files(root)
    subprocess.run(["rm", "-rf", str(root / "class")], check=True)  # pytest cannot remove all that is in it
    assert (root / "out/journal.sqlite").exists(), printed
    with Journal.open(root / "out") as journal:
        gradings = {(graded.student, graded.result.report.id): graded for graded in journal.gradings()}
    return Ran(
        planted=planted,
        students=students,
        clean=clean,
        gradings=gradings,
        code=code,
        pid=pid,
        peak_kb=peak,
        bystander=(bystander_before, bystander_after),
        files=(files_before, files_after),
        texts={**_texts(root / "out", gradings), "what was printed": printed},
    )


def _write_class(
    planted: Planted, cases: Sequence[HostileCase], clean_every: int
) -> tuple[dict[str, str], list[str]]:
    """One student for each case, and a clean one after so many that reach an engine; the first has a secret in a file."""
    into = planted.root / "class"
    clean = [write_clean("3.1.4", into, "00-sibling")]
    (into / "00-sibling/3.1.4/notes.txt").write_text(planted.secrets["sibling"], encoding="utf-8")
    students: dict[str, str] = {}
    at_work = 0
    for case in cases:
        students[case.name] = write_case(case, into, planted.words)
        at_work += case.expect.status not in {"rejected", "not_submitted"}
        if at_work >= clean_every or case is cases[-1]:
            clean.append(write_clean(case.exercise, into, f"{case.name}~then-clean"))
            at_work = 0
    return students, clean


def _grade(planted: Planted, course: Path, exercises: Sequence[str], jobs: int) -> tuple[int, int, int]:
    """Run the command: its exit code, its process id, and its peak of memory in KiB."""
    root = planted.root
    words = [sys.executable, "-m", "grader", "--course", str(course), "batch", str(root / "class")]
    words += ["--out", str(root / "out"), "--engine", "private", "--seed", SEED, "--jobs", str(jobs)]
    words += [word for exercise in exercises for word in ("--exercise", exercise)]
    with (root / "printed").open("wb") as printed:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, cwd=root / "here", env=planted.environment
        )
        peak = 0
        while process.poll() is None:
            with suppress(OSError):  # it has ended
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
                peak = max(peak, *map(int, re.findall(r"VmHWM:\s+(\d+)", status)), 0)
            time.sleep(0.1)
    return process.returncode, process.pid, peak


def _files(root: Path) -> dict[str, str]:
    """Every path below `root` but for results, cache and what is read while grading, with its kind and size."""
    found: dict[str, str] = {}
    for at, folders, names in os.walk(root, followlinks=False):
        here = Path(at).relative_to(root)
        if here == Path():
            folders[:] = [name for name in folders if name not in {"out", "cache"}]
        for name in (*folders, *names):
            with suppress(OSError):  # a path that is too long for the kernel, made step by step
                status = (Path(at) / name).lstat()
                found[repr(str(here / name))] = f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns}"
    return found


def _texts(out: Path, gradings: Mapping[tuple[str, str], Graded]) -> dict[str, str]:
    pages = [path for path in sorted(out.rglob("*")) if path.suffix in {".csv", ".html", ".xml", ".json"}]
    texts = {str(path.relative_to(out)): path.read_bytes().decode("utf-8") for path in pages}
    for (student, exercise), graded in gradings.items():
        seen = {"report": graded.result.report, "observations": graded.result.observations}
        texts[f"journal of {student}, {exercise}"] = repr(seen)
    return texts
