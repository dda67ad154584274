"""The command line's entry point: the commands, and what an exception becomes (one message and an exit code).

A command's options stand beside its body, in the module that `COMMANDS` names. It is imported only when it is used, so
that `grader --help` and completion are instant (`benchmarks/` measures it).
"""

from __future__ import annotations

import errno
import importlib
import itertools
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from grader import __version__
from grader.errors import EnvironmentProblem, GraderError, SpecError, UsageError

_INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
_FAULT = 4
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""A full disk, a full quota, a read-only file system: a matter of this machine, wherever it is met."""

COMMANDS: Mapping[str, tuple[str, str, str]] = {
    "list": ("For students", "student", "List the exercises."),
    "show": ("For students", "student", "Show one exercise's text."),
    "start": ("For students", "student", "Copy an exercise's starter files."),
    "check": ("For students", "check", "Check your own work."),
    "next": ("For students", "student", "Say which exercise is next."),
    "progress": ("For students", "student", "Show how far you are."),
    "submit": ("For students", "student", "Make a zip to hand in."),
    "explain": ("For students", "student", "Explain an exercise, or why a check failed."),
    "batch": ("For instructors", "batch", "Grade every student in a folder."),
    "regrade": ("For instructors", "results", "Judge a batch's observations again."),
    "report": ("For instructors", "results", "Write a batch's files again."),
    "export": ("For instructors", "results", "Write a batch's scores for a gradebook."),
    "status": ("For instructors", "results", "Say how far a batch is."),
    "similar": ("For instructors", "results", "List submissions that have much in common."),
    "gradescope": ("For instructors", "ci", "Make an autograder for Gradescope."),
    "ci": ("For CI", "ci", "Check one submission in CI."),
    "selftest": ("For authors", "selftest", "Prove that the course grades rightly."),
    "doctor": ("This machine", "machine", "Find out whether this machine can grade."),
    "images": ("This machine", "machine", "Make the base images present."),
    "prune": ("This machine", "machine", "Remove leftovers from the engine."),
}
"""Each command, in the order of use: who uses it, its module, and what `grader --help` says of it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: never returns, exits with the codes of DESIGN.md."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code. The one place where exceptions become text."""
    try:
        outcome = cli.main(args=arguments, prog_name="grader", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (click.exceptions.Abort, KeyboardInterrupt):  # click makes the one of the other
        click.echo("Interrupted. Nothing of ours is left in the engine.", err=True)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: a stack trace is for us, not for a student
        message, code = _explained(error)
        click.echo(message, err=True)
        return code
    return outcome if isinstance(outcome, int) else 0


def _explained(error: Exception) -> tuple[str, int]:
    """What to say of an exception, and the exit code. One that nobody foresaw is a fault of the grader."""
    match error:
        case SpecError(problems=problems):
            count = f"{len(problems)} mistakes; nothing was graded." if len(problems) > 1 else "Nothing was graded."
            return "\n".join((*problems, count)), error.exit_code
        case GraderError():
            return f"grader: {error}", error.exit_code
        case OSError(errno=code) if code in _DISK_FULL:
            where = f"{error.filename}: " if error.filename else ""
            free = "Make room (`df` shows where there is none), then try again."
            return f"grader: {where}{error.strerror}. {free}", EnvironmentProblem.exit_code
        case _:
            trace = _save_trace()
            return f"grader: a fault in grader itself, not in your work. Please report it with the file {trace}", _FAULT


def _save_trace() -> str:
    """Write the stack trace to a file and give its name; where that fails, give the trace itself."""
    trace = f"grader {__version__}, Python {sys.version}, arguments {sys.argv[1:]!r}\n\n{traceback.format_exc()}"
    try:
        with tempfile.NamedTemporaryFile("wb", prefix="grader-fault-", suffix=".txt", delete=False) as file:
            file.write(trace.encode("utf-8", "backslashreplace"))
    except OSError as error:
        return f"… that could not be written ({error.strerror}):\n{trace}"
    return file.name


class _Commands(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Names of the commands, in the order of use."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The function `NAME_command` of the command's module."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"grader.cli.{COMMANDS[name][1]}"), f"{name}_command")
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in sections, from the table: nothing is imported for it."""
        width = max(map(len, COMMANDS))
        for title, rows in itertools.groupby(COMMANDS.items(), key=lambda row: row[1][0]):
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, (_, _, text) in rows])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n"
    "  grader start 3.1.1        copy an exercise's files into a new folder\n"
    "  grader check 3.1.1        see what is right and wrong, and why\n"
    "  grader batch class/ --out results/",
)
@click.option(
    "--course",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder with exercises.yaml. Default: GRADER_COURSE, else found from here upwards, "
    "else the one that comes with grader.",
)
@click.version_option(__version__, prog_name="grader", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, course: Path | None) -> None:
    """Grades Docker exercises.

    It builds and runs what a student wrote, and says what is wrong, why, and which docker command shows it.

    Exit codes: 0 full marks, 1 marks missing, 2 usage or mistakes in exercises.yaml, 3 this machine
    cannot grade now (engine, image, network), 4 a fault of the grader, 130 interrupted.
    """
    context.obj = course
