"""`grader gradescope`: an autograder for Gradescope to upload, and what that runs on Gradescope's machine.

Gradescope starts `/autograder/run_autograder` in a container, with the work in `/autograder/submission`, and reads
`/autograder/results/results.json` (docs/specs.md of its autograder samples). There is no Docker engine in it, so the
autograder is told of one of the course's own.
"""

from __future__ import annotations

from pathlib import Path

import click

from grader import __version__
from grader.api import find_work, fresh_seed
from grader.cli.common import ANY_PATH, DETAILS, FOLDER, course_command, exercises_option, packed_zip, terminal
from grader.cli.wiring import GradingSettings, open_session
from grader.course.loader import CourseFolder
from grader.errors import EnvironmentProblem
from grader.files import write_whole
from grader.grading.scoring import Details, for_student
from grader.grading.session import grade_submission
from grader.reports import wording as words
from grader.reports.gradescope import to_gradescope

_SETUP = f"""\
#!/usr/bin/env bash
# Nothing to do where the autograder's image is the grader's own; else it is installed.
set -eu
command -v grader >/dev/null || python3 -m pip install 'docker-exercise-grader=={__version__}'
"""
_RUN = """\
#!/usr/bin/env bash
# engine.env says which Docker engine grades: Gradescope's own machine has none.
set -eu
set -a; . /autograder/source/engine.env; set +a
exec grader --course /autograder/source/course gradescope --results /autograder/results{exercises}
"""
_ENGINE = """\
# The Docker engine that grades, reached over TLS. Put ca.pem, cert.pem and key.pem into this zip, too, in certs/.
DOCKER_HOST=tcp://engine.example:2376
DOCKER_TLS_VERIFY=1
DOCKER_CERT_PATH=/autograder/source/certs
"""


@course_command(
    "grader gradescope --zip autograder.zip",
    "grader gradescope --zip autograder.zip --engine-env engine.env --exercise 3.1.4",
)
@click.option("--zip", "packed", type=ANY_PATH, help="Write an autograder to upload, instead of grading.")
@click.option(
    "--engine-env",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --zip: the file that names the engine (DOCKER_HOST=…).",
)
@exercises_option
@click.option(
    "--submission", type=FOLDER, default=Path("/autograder/submission"), show_default=True, help="The work to grade."
)
@click.option(
    "--results", type=FOLDER, default=Path("/autograder/results"), show_default=True, help="Where results.json goes."
)
@click.option("--details", type=DETAILS, default="full", show_default=True, help="How much a failed check tells.")
def gradescope_command(
    folder: CourseFolder,
    *,
    packed: Path | None,
    engine_env: Path | None,
    exercises: tuple[str, ...],
    submission: Path,
    results: Path,
    details: Details,
) -> int:
    """Make an autograder for Gradescope (--zip), or grade as one: without an engine there are no results, not zeros."""
    console = terminal()
    if packed:
        env = engine_env.read_text(encoding="utf-8") if engine_env else _ENGINE
        write_whole(packed, autograder(folder, exercises, env))
        console.note(f"Written: {packed}. On Gradescope: Configure Autograder > Zip file upload.")
        if not engine_env:
            console.note("Put your engine into its engine.env, or name a file with it by --engine-env.")
        return 0
    target = find_work(folder, submission, exercises, every=True)
    settings = GradingSettings(folder=folder, exercises=target.exercises, seed=fresh_seed(), tier="private")
    with console.checking() as emit, open_session(settings, emit, console.note) as session:
        report = grade_submission(session, target.submission, target.exercises)
    missing = [exercise.id for _, exercise in words.ungraded([report])]
    if missing:
        why = "; ".join(dict.fromkeys(exercise.message for _, exercise in words.ungraded([report])))
        raise EnvironmentProblem(f"Not graded: {', '.join(missing)}. No results are written, so nobody gets a 0. {why}")
    write_whole(results / "results.json", to_gradescope(for_student(report, details)))
    return 0


def autograder(folder: CourseFolder, exercises: tuple[str, ...], env: str) -> bytes:
    """The zip: Gradescope's two scripts, the engine's address, and the course without its solutions."""
    chosen = "".join(f" --exercise {name}" for name in exercises)
    files = {
        "setup.sh": (0o755, _SETUP.encode()),
        "run_autograder": (0o755, _RUN.format(exercises=chosen).encode()),
        "engine.env": (0o644, env.encode()),
    }
    for path in (folder.root / "exercises.yaml", folder.predictor):
        if path.is_file():
            files[f"course/{path.relative_to(folder.root).as_posix()}"] = (0o644, path.read_bytes())
    return packed_zip(files)
