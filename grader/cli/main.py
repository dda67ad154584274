"""The command line. Parses, calls `grader.cli`, turns what was raised into one message and an exit code.

Every import that is not needed for `--help` is inside the command that needs it: completion and
help must feel instant (`benchmarks/` measures it).
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from grader import __version__
from grader.errors import EnvironmentProblem, GraderError, SpecError, UsageError

if TYPE_CHECKING:
    from grader.cli.export import Target
    from grader.grading.scoring import Details
    from grader.limits.probes import Tier

_INTERRUPTED = 130
"""128 + SIGINT, as shells count."""
_FAULT = 4
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""A full disk, a full quota, a read-only file system: a matter of this machine, wherever it is met."""

_FOLDER = click.Path(path_type=Path, file_okay=False)
_ANY_PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Shared:
    """Options of `grader` itself."""

    course: Path | None


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
    except (click.exceptions.Abort, KeyboardInterrupt):  # click makes the one of the other
        _complain("Interrupted. Nothing of ours is left in the engine.")
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SpecError as error:
        _complain(
            *error.problems,
            f"{len(error.problems)} mistakes; nothing was graded."
            if len(error.problems) > 1
            else "Nothing was graded.",
        )
        return error.exit_code
    except GraderError as error:
        _complain(f"grader: {error}")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: a stack trace is for us, not for a student
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            where = f"{error.filename}: " if error.filename else ""
            _complain(f"grader: {where}{error.strerror}. Make room (`df` shows where there is none), then try again.")
            return EnvironmentProblem.exit_code
        _complain(f"grader: a fault in grader itself, not in your work. Please report it with the file {_save_trace()}")
        return _FAULT
    return outcome if isinstance(outcome, int) else 0


def _complain(*texts: str) -> None:
    for text in texts:
        click.echo(text, err=True)


def _save_trace() -> str:
    try:
        return _written_trace()
    except OSError as error:
        return f"… that could not be written ({error.strerror}):\n{traceback.format_exc()}"


def _written_trace() -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="grader-fault-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(
            f"grader {__version__}, Python {sys.version}, arguments {sys.argv[1:]!r}\n\n{traceback.format_exc()}"
        )
    return file.name


def _examples(*lines: str) -> str:
    r"""An epilogue with examples; `\b` keeps click from rewrapping it."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class _InOrder(click.Group):
    """A group whose help lists commands in the order they are defined in: the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of the commands, first defined first."""
        return list(self.commands)


@click.group(
    cls=_InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_examples(
        "grader start 3.1.1        copy an exercise's files into a new folder",
        "grader check 3.1.1        see what is right and wrong, and why",
        "grader batch class/ --out results/",
    ),
)
@click.option(
    "--course",
    type=_FOLDER,
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
    context.obj = Shared(course)


# ── exercises ───────────────────────────────────────────────────────────────────────────


@cli.command("list", short_help="List the exercises.", epilog=_examples("grader list"))
@click.pass_obj
def list_(shared: Shared) -> int:
    """List the exercises with their points."""
    from grader.cli import catalogue

    return catalogue.list_exercises(shared.course)


@cli.command(short_help="Show one exercise's text.", epilog=_examples("grader show 3.1.4"))
@click.argument("identifier", metavar="ID")
@click.pass_obj
def show(shared: Shared, identifier: str) -> int:
    """Show one exercise: what is asked, what is given, how to try it, what is checked."""
    from grader.cli import catalogue

    return catalogue.show_exercise(shared.course, identifier)


@cli.command(
    short_help="Copy an exercise's starter files.",
    epilog=_examples("grader start 3.1.4", "grader start 3.1.4 my-work/3.1.4"),
)
@click.argument("identifier", metavar="ID")
@click.argument("directory", metavar="[DIR]", required=False, type=_ANY_PATH)
@click.pass_obj
def start(shared: Shared, identifier: str, directory: Path | None) -> int:
    """Copy an exercise's starter files to DIR (default: a folder named by the ID). Existing files stay."""
    from grader.cli import catalogue

    return catalogue.start(shared.course, identifier, directory)


# ── grading ─────────────────────────────────────────────────────────────────────────────


def _seed_option(command: Command) -> Command:
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**63 - 1),
        help="Draw the same figures as in an earlier run; the report names its seed.",
    )(command)


def _engine_option(default: Tier) -> Callable[[Command], Command]:
    return click.option(
        "--engine",
        type=click.Choice(["private", "host"]),
        default=default,
        show_default=True,
        help="Which engine builds and runs: one of the grader's own, thrown away at the end, or the one `docker` uses.",
    )


def _exercises_option(command: Command) -> Command:
    return click.option(
        "--exercise", "exercises", metavar="ID", multiple=True, help="Only this exercise. Can be given several times."
    )(command)


_DETAILS = click.Choice(["full", "actual", "none"])


@cli.command(
    short_help="Check your own work.",
    epilog=_examples(
        "grader check",
        "grader check 3.1.4",
        "grader check my-work --exercise 3.1.4 --exercise 3.1.5",
        "grader check --format json > report.json",
    ),
)
@click.argument("path", metavar="[PATH]", required=False, type=_ANY_PATH)
@_exercises_option
@_seed_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or one JSON document.",
)
@click.option(
    "--details",
    type=_DETAILS,
    default="full",
    show_default=True,
    help="How much a failed check tells: all, not what was expected, or nothing.",
)
@click.option("--watch", is_flag=True, help="Check again whenever a file changes, until Ctrl-C.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever the marks, for platforms that read the report.")
@click.pass_obj
def check(
    shared: Shared,
    path: Path | None,
    exercises: tuple[str, ...],
    seed: int | None,
    form: Literal["text", "json"],
    details: Details,
    watch: bool,
    exit_zero: bool,
) -> int:
    """Check your own work. PATH is an exercise's folder or a folder of them (default: here)."""
    from grader.cli.check import CheckOptions, check_path

    options = CheckOptions(shared.course, path or Path(), exercises, seed, form, details, watch)
    code = check_path(options)
    return 0 if exit_zero and code == 1 else code


@cli.command(
    short_help="Grade every student in a folder.",
    epilog=_examples(
        "grader batch submissions/ --out results/",
        "grader batch submissions/ --out results/ --roster class.csv --jobs 4",
        "grader batch submissions/ --out results/ --resume",
        "grader batch moodle-download.zip --out results/",
    ),
)
@click.argument("submissions", type=_ANY_PATH)
@click.option(
    "--out",
    required=True,
    type=_FOLDER,
    help="Folder for grades.csv, gradebook.csv, report.html, students/, junit.xml and the journal.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), help="Students graded side by side. Default: as many as there are cores."
)
@_exercises_option
@click.option(
    "--roster",
    type=_ANY_PATH,
    help="CSV file whose column `student` names everyone; who handed in nothing appears too.",
)
@_seed_option
@click.option(
    "--resume", is_flag=True, help="Go on with an interrupted batch: what is graded already and unchanged stays."
)
@_engine_option("private")
@click.option(
    "--accept-risk",
    is_flag=True,
    help="With --engine host: run commands.sh and Compose files of other people all the same, in a private engine.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    default="",
    help="Let the workers of a Dask scheduler grade (tls://HOST:8786); see docs/instructors.md.",
)
@click.option(
    "--waive",
    metavar="LIMIT",
    multiple=True,
    help='Grade although this limit (such as "run memory") is not enforced here. Can be given several times.',
)
@click.option(
    "--details",
    type=_DETAILS,
    default="full",
    show_default=True,
    help="What the students' pages tell of a failed check.",
)
@click.pass_obj
def batch(
    shared: Shared,
    submissions: Path,
    out: Path,
    jobs: int | None,
    exercises: tuple[str, ...],
    roster: Path | None,
    seed: int | None,
    resume: bool,
    engine: Tier,
    accept_risk: bool,
    waive: tuple[str, ...],
    scheduler: str,
    details: Details,
) -> int:
    """Grade every student in a folder (one folder, zip or tar for each), or in a bulk download of Moodle or Canvas."""
    from grader.cli.batch import BatchOptions, grade_batch

    options = BatchOptions(
        shared.course, submissions, out, jobs, exercises, roster, seed, resume, engine, accept_risk, waive, details,
        scheduler,
    )  # fmt: skip
    return grade_batch(options)


@cli.command(short_help="Judge a batch's observations again.", epilog=_examples("grader regrade results/"))
@click.argument("results", type=_FOLDER)
@click.pass_obj
def regrade(shared: Shared, results: Path) -> int:
    """Judge the stored observations of a batch again, after a change of points, tolerance or texts. Needs no engine."""
    from grader.cli.batch import regrade_results

    return regrade_results(shared.course, results)


@cli.command(short_help="Write a batch's files again.", epilog=_examples("grader report results/"))
@click.argument("results", type=_FOLDER)
@click.option(
    "--details",
    type=_DETAILS,
    default="full",
    show_default=True,
    help="What the students' pages tell of a failed check.",
)
@click.pass_obj
def report(shared: Shared, results: Path, details: Details) -> int:
    """Write the files of a batch (pages, CSV, JUnit) again from its journal."""
    from grader.cli.batch import write_report

    return write_report(shared.course, results, details)


@cli.command(
    short_help="Write a batch's scores for a gradebook.",
    epilog=_examples(
        "grader export results/ --to canvas --sheet Grades.csv --column 'Docker exercises'",
        "grader export results/ --to moodle --sheet Grades.csv --exercise 3.1.4",
        "grader export results/ --to gradescope --details none --out gradescope/",
    ),
)
@click.argument("results", type=_FOLDER)
@click.option("--to", type=click.Choice(["csv", "canvas", "moodle", "gradescope", "junit"]), required=True)
@click.option("--sheet", type=_ANY_PATH, help="The CSV file that Canvas or Moodle gave you; a copy of it is filled in.")
@click.option("--column", metavar="NAME", help="Canvas: the assignment to fill in; added if there is none so called.")
@_exercises_option
@click.option("--out", type=_ANY_PATH, help="The file or folder to write. Default: in the folder of results.")
@click.option("--details", type=_DETAILS, default="full", show_default=True, help="What Gradescope tells students.")
@click.pass_obj
def export(
    shared: Shared,
    results: Path,
    to: Target,
    sheet: Path | None,
    column: str | None,
    exercises: tuple[str, ...],
    out: Path | None,
    details: Details,
) -> int:
    """Write a batch's scores for a gradebook, from its journal: the total, or one exercise's. Says who is not in it."""
    from grader.cli.export import ExportOptions, export_results

    return export_results(ExportOptions(shared.course, results, to, sheet, column, exercises, out, details))


@cli.command(
    short_help="Check one submission in CI.",
    epilog=_examples("grader ci", "grader ci submission/ --out grader-results --exit-zero"),
)
@click.argument("path", metavar="[PATH]", required=False, type=_ANY_PATH)
@_exercises_option
@_seed_option
@click.option(
    "--out",
    type=_FOLDER,
    default=Path("grader-results"),
    show_default=True,
    help="Folder for junit.xml and results.json.",
)
@click.option("--details", type=_DETAILS, default="full", show_default=True, help="How much a failed check tells.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whatever the marks.")
@click.pass_obj
def ci(
    shared: Shared,
    path: Path | None,
    exercises: tuple[str, ...],
    seed: int | None,
    out: Path,
    details: Details,
    exit_zero: bool,
) -> int:
    """Check one submission in CI: annotations, job summary, junit.xml, results.json, exit code."""
    from grader.cli.ci import CiOptions, check_in_ci

    code = check_in_ci(CiOptions(shared.course, path or Path(), exercises, seed, out, details))
    return 0 if exit_zero and code == 1 else code


# ── the course and the machine ──────────────────────────────────────────────────────────


@cli.command(
    short_help="Prove that the course grades rightly.",
    epilog=_examples("grader selftest", "grader selftest --exercise 3.1.4 --jobs 1"),
)
@_exercises_option
@_seed_option
@click.option(
    "--jobs", type=click.IntRange(1, 64), help="Solutions graded side by side. Default: as many as there are cores."
)
@_engine_option("host")
@click.option("--write", type=_ANY_PATH, help="Also write a page with every message a wrong solution produces.")
@click.pass_obj
def selftest(
    shared: Shared, exercises: tuple[str, ...], seed: int | None, jobs: int | None, engine: Tier, write: Path | None
) -> int:
    """Prove the course: every right solution gets full points, every wrong one fails the check it must."""
    from grader.cli.selftest import run_selftest

    return run_selftest(shared.course, exercises, seed, jobs, write, tier=engine)


@cli.command(short_help="Find out whether this machine can grade.", epilog=_examples("grader doctor"))
@click.pass_obj
def doctor(shared: Shared) -> int:
    """Find out whether this machine can grade fairly: engine, builder, base images, disk, limits, Compose."""
    from grader.cli.doctor import examine_machine

    return examine_machine(shared.course)


@cli.command(
    short_help="Make the base images present.", epilog=_examples("grader images", "grader images python:3.9-slim")
)
@click.argument("references", metavar="[IMAGE]...", nargs=-1)
@click.pass_obj
def images(shared: Shared, references: tuple[str, ...]) -> int:
    """Make the base images present: local, else pulled, else built here from Debian packages."""
    from grader.cli.images import make_present

    return make_present(shared.course, references)


@cli.command(short_help="Remove leftovers from the engine.", epilog=_examples("grader prune", "grader prune --all"))
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what graders that are still running, or run on another machine, own.",
)
def prune(everything: bool) -> int:
    """Remove what interrupted or killed graders left in the engine. Never anything else."""
    from grader.cli.prune import remove_leftovers

    return remove_leftovers(everything=everything)
