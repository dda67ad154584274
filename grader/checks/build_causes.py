"""Why a step of a build failed, from what it printed, in words that a beginner can act on: a table.

What is looked at is text of the student's own commands. It explains a build that has failed, and decides nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from grader.checks.base import CheckContext
from grader.course.registry import reason
from grader.dockerfile.explain import list_problem, nearest
from grader.dockerfile.parser import Dockerfile, Instruction

RUN_FAILED = reason("D106", "run_failed", "A RUN instruction ended with an error.")
INSTALL_FAILED = reason("D107", "install_failed", "A RUN instruction that installs packages ended with an error.")
ASKS_BACK = reason("D113", "asks_back", "A command in the build waits for an answer that nobody can give.")
NO_PACKAGE_LISTS = reason("D114", "no_package_lists", "apt-get installs before apt-get update has fetched its lists.")
UNKNOWN_PACKAGE = reason("D115", "unknown_package", "No package has the name that is to be installed.")
UNFIT_VERSION = reason("D116", "unfit_version", "That version of a package does not exist for this Python.")
NEEDS_COMPILER = reason("D117", "needs_compiler", "A package has to be compiled, and the image has no compiler.")
UNKNOWN_COMMAND = reason("D118", "unknown_command", "A RUN names a program that the image does not have.")
RUNS_SCRIPT = reason("D119", "runs_script", "A RUN starts the script, which is for CMD or ENTRYPOINT to do.")
NOT_COPIED_YET = reason("D129", "not_copied_yet", "A RUN needs a file that no COPY before it brings in.")


@dataclass(frozen=True, slots=True)
class Step:
    """A step that failed: its instruction, what it printed, and the submission it is of."""

    instruction: Instruction | None
    command: str
    log: str
    context: CheckContext

    @property
    def python(self) -> str:
        """The minor version of Python in the step's base image, "3.9", as far as the image's tag says it."""
        parsed = self.context.files.dockerfile
        if not isinstance(parsed, Dockerfile) or self.instruction is None:
            return ""
        found = re.search(r"\bpython:(\d+\.\d+)", parsed.stages[self.instruction.stage].image)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a step failed: the reason's name, what to tell, and the lines of the log that show it."""

    reason: str
    message: str
    evidence: str


def cause_of(step: Step) -> Cause | None:
    """The first row of the table that fits; None if none does."""
    for pattern, name, tell in _CAUSES:
        if match := re.search(pattern, step.log, re.MULTILINE):
            told = tell(match, step) if callable(tell) else match.expand(tell)
            if told:
                return Cause(name, told, _line_around(step.log, match))
    return _by_instruction(step)


_MOST_SHOWN = 240


def _line_around(log: str, match: re.Match[str]) -> str:
    start = log.rfind("\n", 0, match.start()) + 1
    end = log.find("\n", match.end())
    line = log[start : end if end >= 0 else len(log)].strip()
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN // 2]} … {line[-_MOST_SHOWN // 2 :]}"


def _by_instruction(step: Step) -> Cause | None:
    """What the instruction itself shows, where the log is of no help."""
    if step.instruction is None:
        return None
    if problem := list_problem(step.instruction):
        return Cause(RUN_FAILED, problem, "")
    return None


# ── what the rows tell ──────────────────────────────────────────────────────────────────

_LIBRARIES = (
    *("numpy", "pandas", "scipy", "matplotlib", "scikit-learn", "requests", "flask", "fastapi", "statsmodels"),
    *("seaborn", "jupyter", "pytest", "poetry", "pipenv", "uv", "tensorflow", "torch", "mlflow", "uvicorn", "pyyaml"),
)
_DEBIAN = (
    *("python3", "python3-pip", "python3-venv", "python3-numpy", "python3-pandas", "gcc", "g++", "build-essential"),
    *("curl", "wget", "git", "vim", "nano", "make", "gfortran", "libopenblas-dev", "ca-certificates", "procps"),
)
_IMPORTED_AS = {
    "sklearn": "scikit-learn",
    "cv2": "opencv-python",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "bs4": "beautifulsoup4",
}
_PROGRAMS = (
    *("pip", "pip3", "python", "python3", "apt-get", "apt", "mkdir", "chmod", "chown", "echo", "cp", "mv", "rm"),
    *("useradd", "adduser", "groupadd", "touch", "cat", "sed", "install", "export", "cd", "ls", "find", "tar"),
)
_PYTHONS = {"pip", "pip3", "python", "python3"}
_KEYWORDS = {"copy", "add", "cmd", "entrypoint", "workdir", "env", "from", "user", "expose", "volume", "label", "run"}
_ELSEWHERE = {
    "sudo": "A build runs as root already: leave sudo out.",
    "conda": "This base image has no conda. Install with pip.",
    "docker": "docker is a program of your computer, not of the image: type it in the terminal, not in the Dockerfile.",
    "source": "`source` is bash's; the shell of RUN calls it `.`. An image needs no virtual environment at all.",
    "nano": "There is no editor in the image. Edit the file on your computer and COPY it.",
    "vim": "There is no editor in the image. Edit the file on your computer and COPY it.",
    "brew": "brew is for Macs. The image is Debian: apt-get installs programs, pip installs libraries of Python.",
    "apk": "apk is Alpine's. This image is Debian: apt-get installs programs, pip installs libraries of Python.",
    "yum": "yum is Red Hat's. This image is Debian: apt-get installs programs, pip installs libraries of Python.",
    "dnf": "dnf is Red Hat's. This image is Debian: apt-get installs programs, pip installs libraries of Python.",
}


def _no_such_package(match: re.Match[str], _: Step) -> str:
    name = match["name"]
    if library := _library(name, _LIBRARIES[:9]):
        return f"{name} is no package of Debian: {library} is a library of Python. Write RUN pip install {library}."
    near = nearest(name, _DEBIAN, 0.7)
    return f"Debian has no package called {name}." + (f" Did you mean {near}?" if near else " Look its name up.")


def _no_lists(match: re.Match[str], step: Step) -> str:
    name = match["name"]
    if _library(name, _LIBRARIES[:9]) or re.search(r"\bapt(?:-get)?\b[^&|;]*\bupdate\b", _run_before(step)):
        return ""
    return (
        f"apt cannot find {name}, because the image has no lists of packages yet. "
        "Write apt-get update && before apt-get install, in the same RUN."
    )


def _run_before(step: Step) -> str:
    """The text of this RUN and of those before it in its stage."""
    parsed = step.context.files.dockerfile
    if not isinstance(parsed, Dockerfile) or step.instruction is None:
        return step.command
    stage, last = step.instruction.stage, step.instruction.first_line
    return "\n".join(one.value for one in parsed.instructions if one.stage == stage and one.first_line <= last)


def _library(name: str, known: tuple[str, ...]) -> str:
    """The library that a name in a mistaken place or spelling means; "" if none is near."""
    bare = re.sub(r"^python3?-|^lib", "", re.split(r"[=<>!~\[ ;]", name)[0])
    return _IMPORTED_AS.get(bare) or nearest(bare, known, 0.8)


def _unknown_library(match: re.Match[str], _: Step) -> str:
    name = re.split(r"[=<>!~\[ ;]", match["name"])[0]
    if name in sys.stdlib_module_names:
        return f"{name} comes with Python: there is nothing to install. Take it out of the list."
    if name == "install":
        return "pip takes the second `install` for a package's name. Write it once."
    near = _IMPORTED_AS.get(name) or nearest(name, [one for one in _LIBRARIES if one != name], 0.6)
    return f"There is no package called {name} for pip." + (f" Did you mean {near}?" if near else " Look its name up.")


def _unfit_version(match: re.Match[str], step: Step) -> str:
    name, version = match["package"], match["version"]
    needs = re.search(rf"(?:^|[ ;]){re.escape(version)} Requires-Python >=\s*([\d.]+)", step.log)
    yours = f", yours is {step.python}" if step.python else ""
    if needs:
        return (
            f"{name} {version} needs Python {needs[1]} or newer{yours}. "
            f"Leave the version out (RUN pip install {name}), and pip takes the newest that fits."
        )
    known = [one.strip() for one in match["known"].split(",")]
    plain = [one for one in known if re.fullmatch(r"[\d.]+", one)]
    newest = f" The newest that fits your Python is {plain[-1]}." if plain else ""
    return f"There is no {name} {version} for this Python.{newest} Leave the version out, or take one of these."


def _not_found(match: re.Match[str], step: Step) -> str:
    name = match["name"].strip("\"',:[")
    bare = name.rpartition("/")[2]
    lists = list_problem(step.instruction) if step.instruction else ""
    near = nearest(bare, _PROGRAMS, 0.6)
    tellings = (
        (_ELSEWHERE.get(bare), _ELSEWHERE.get(bare, "")),
        (lists, lists),
        (bare.lower() in _KEYWORDS, f"{bare.upper()} is an instruction of its own: it begins a new line, without RUN."),
        (bare in _PYTHONS, f"The base image has no {bare}. Begin FROM an image of Python, or install it first."),
        (bare in _LIBRARIES, f"The image has no {bare}. Install it in a RUN before this one: pip install {bare}"),
        (
            bare in _DEBIAN,
            f"The image has no {bare}. Install it before, in this RUN: apt-get update && apt-get install -y {bare}",
        ),
        (
            bare.endswith((".sh", ".py")),
            f"{name} is not in the image at this line, or its #! line names nothing there.",
        ),
        (near, f"The image has no program called {name}. Did you mean {near}?"),
        (True, f"The image has no program called {name}."),
    )
    return next(telling for applies, telling in tellings if applies)


def _not_there(match: re.Match[str], step: Step) -> str:
    """A file that a command does not find, though the folder may have it."""
    path = match["path"]
    name = path.rpartition("/")[2]
    files = [file.path for file in step.context.files.files]
    here = [file for file in files if file.rpartition("/")[2] == name]
    if not here:
        near = nearest(name, [file.rpartition("/")[2] for file in files])
        return f"There is no {name} in the image, nor in the folder." + (f" Did you mean {near}?" if near else "")
    later = f"{name} is in your folder, but not yet at {path} in the image when this line runs."
    parsed = step.context.files.dockerfile
    line = step.instruction.first_line if step.instruction else 0
    before = [one for one in parsed.instructions if one.first_line < line] if isinstance(parsed, Dockerfile) else []
    copies = [one for one in before if one.keyword in {"COPY", "ADD"}]
    if any(name in one.value or "." in one.arguments[:-1] for one in copies):
        return f"{later} The COPY above puts it into another folder: compare WORKDIR and the paths."
    return f"{later} COPY it before this RUN."


def _script_in_build(match: re.Match[str], step: Step) -> str:
    script = step.context.script
    if script not in step.command:
        return ""
    return (
        f"RUN starts {script} while the image is being built. It has to run when a container starts: "
        "that is what CMD and ENTRYPOINT are for. Take this RUN out."
    )


def _compiler(match: re.Match[str], step: Step) -> str:
    package = re.search(r"(?:Failed (?:to build|building wheel for)|ERROR: Failed[^\n]*? ) ?'?([\w.-]+)", step.log)
    name = package[1] if package and package[1] not in {"installable", "to"} else "A package"
    return (
        f"{name} has no ready-made build for this Python, so pip compiles it, and the image has no compiler. "
        "Leave the version out (a newer or older one may be ready-made), or begin FROM the full image, without -slim."
    )


def _denied(match: re.Match[str], step: Step) -> str:
    if re.search(r"^\s*USER\b", _dockerfile_text(step), re.MULTILINE | re.IGNORECASE):
        return "The user that USER names may not do this. Install and make folders before USER, as root."
    return ""


def _dockerfile_text(step: Step) -> str:
    parsed = step.context.files.dockerfile
    return parsed.built.decode("utf-8", "replace") if isinstance(parsed, Dockerfile) else ""


Tell = Callable[[re.Match[str], Step], str]


def _near_command(match: re.Match[str], _: Step) -> str:
    near = nearest(match["word"], ("install", "update", "upgrade", "remove"))
    return f"apt-get knows no command {match['word']}." + (f" Did you mean {near}?" if near else "")


def _near_pip_command(match: re.Match[str], _: Step) -> str:
    near = f" Did you mean {match['near']}?" if match["near"] else " To install is: pip install NAME"
    return f"pip knows no command {match['word']}.{near}"


def _requirement(match: re.Match[str], _: Step) -> str:
    one_sign = re.search(r"\w=\d", match["written"])
    version = "A version is given with two equals signs: numpy==1.26.4"
    names = "Names of packages stand one after the other, with blanks between and no commas."
    return f"pip cannot read {match['written'].strip()}. {version if one_sign else names}"


def _no_folder(match: re.Match[str], _: Step) -> str:
    folder = match["path"] or match["other"]
    return (
        f"There is no folder {folder} in the image at this line. WORKDIR makes one and goes there, for all lines below."
    )


_WANTED = r"(?P<package>[\w.-]+)(?:\[.*?\])?[=<>~!]+(?P<version>[\w.]+)"
_KNOWN = r"from versions: (?P<known>(?!none)[^)\n]*)\)"
_NO_COMPILER = (
    r"(?:command|execute) '(?:\S*/)?(?:gcc|cc|g\+\+|c\+\+|clang|gfortran|cargo|\S*-gcc)'?|Unknown compiler\(s\)"
    r"|No such file or directory: '(?:gcc|cc|g\+\+|cargo)'|no acceptable C compiler|RuntimeError: Broken toolchain"
)
_CRASH = r"(?i)usage:|IndexError|EOFError|FileNotFoundError|ModuleNotFoundError|ValueError|SystemExit|KeyError"
_NO_FILE = r"(?:cannot (?:stat|access|create[^'\n]*)|can't (?:stat|open)) '?(?P<path>[^':\n]+)'?: No such file"
_USER_EXISTS = r"^(?:user|group)add: (?:user|group) '(?P<name>[\w-]+)' already exists"

_CAUSES: tuple[tuple[str, str, str | Tell], ...] = (
    # the package manager of Debian
    (r"Do you want to continue\? \[Y/n\]", ASKS_BACK,
     "apt asks whether to continue, and nobody can answer during a build. Add -y: apt-get install -y …"),
    (r"^E: Unable to locate package (?P<name>\S+)", NO_PACKAGE_LISTS, _no_lists),
    (r"^E: Unable to locate package (?P<name>\S+)", UNKNOWN_PACKAGE, _no_such_package),
    (r"^E: Package '(?P<name>\S+)' has no installation candidate", UNKNOWN_PACKAGE, _no_such_package),
    (r"^E: Invalid operation (?P<word>\S+)", INSTALL_FAILED, _near_command),
    (r"^E: Command line option (?P<option>.+?) is not (?:understood|known)", INSTALL_FAILED,
     r"apt-get does not know the option \g<option>. Its options come after a minus: -y, --no-install-recommends."),
    # pip
    (rf"requirement {_WANTED}[^\n]*{_KNOWN}", UNFIT_VERSION, _unfit_version),
    (r"No matching distribution found for (?P<name>\S+)", UNKNOWN_PACKAGE, _unknown_library),
    (r"The 'sklearn' \S+ package is deprecated", UNKNOWN_PACKAGE,
     "sklearn is only the name to import; the package to install is called scikit-learn."),
    (r"Invalid requirement: ['\"]?(?P<written>[^'\"\n:]+)", INSTALL_FAILED, _requirement),
    (r'unknown command "(?P<word>[^"]+)"(?: - maybe you meant "(?P<near>[^"]+)")?', INSTALL_FAILED, _near_pip_command),
    (r"You must give at least one requirement to install", INSTALL_FAILED,
     "pip install needs the name of a package after it, or -r and the name of a file."),
    (r"no such option: (?P<option>\S+)", INSTALL_FAILED,
     r"pip does not know the option \g<option>: see how it is spelt."),
    (r"Could not open requirements file: .*'(?P<path>[^']+)'", NOT_COPIED_YET, _not_there),
    (r"Neither 'setup\.py' nor 'pyproject\.toml' found", NOT_COPIED_YET,
     "pip install . installs a project from the folder it runs in, and there is none. Name packages instead."),
    (r"externally-managed-environment", INSTALL_FAILED,
     "This Python is Debian's own, which pip may not change. Begin FROM an image of Python, such as python:3.9-slim."),
    (_NO_COMPILER, NEEDS_COMPILER, _compiler),
    # the script, started too early
    (_CRASH, RUNS_SCRIPT, _script_in_build),
    # programs and files that are not there
    (r"can't open file '(?P<path>[^']+)'", NOT_COPIED_YET, _not_there),
    (r"exec: \\?\"(?P<name>[^\"\\]+)\\?\": (?:executable file not found|stat )", UNKNOWN_COMMAND, _not_found),
    (r"^\S*sh: (?:\d+: |line \d+: )?(?P<name>[^:\n]+?): (?:command )?not found", UNKNOWN_COMMAND, _not_found),
    (r"can't cd to (?P<path>\S+)|cd: (?P<other>\S+): No such file", RUN_FAILED, _no_folder),
    (_NO_FILE, NOT_COPIED_YET, _not_there),
    # what the shell or the system says
    (r"^\S*sh: (?:\d+: )?(?P<path>/?[\w./-]+): Permission denied", RUN_FAILED,
     r"\g<path> may not be executed. Make it executable with RUN chmod +x, or start it as: sh \g<path>"),
    (r"Syntax error: Unterminated quoted string|unexpected EOF while looking for matching", RUN_FAILED,
     "A quote is opened in this RUN and not closed."),
    (r"Syntax error: [^\n]{0,60}unexpected", RUN_FAILED,
     r"The shell stops at a sign that does not belong there: look at each && and ;, and at the \\ at the line ends."),
    (r"Permission denied|are you root\?|Operation not permitted", RUN_FAILED, _denied),
    (_USER_EXISTS, RUN_FAILED, r"User or group \g<name> is there already. Leave the line out, or take another name."),
    (r"^Killed\b|exit code: 137|MemoryError", RUN_FAILED, "The command was killed because it used too much memory."),
    (r"Segmentation fault|exit code: 139", RUN_FAILED,
     "A program crashed in its own machine code: often a library that was built for another Python."),
)  # fmt: skip
"""A pattern in what the step printed, the reason it means, and what to tell: a text, or a function of match and step.

The first row that fits and has something to tell is taken.
"""
