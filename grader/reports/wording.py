"""Words and numbers that every form of a report shares, so that they cannot disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grader.grading.scoring import NEEDS, NOT_BUILT
from grader.models import CheckStatus, CheckVerdict, EngineInfo, ExerciseReport, ExerciseStatus, Report
from grader.sanitize import sanitize

SIGNS: dict[CheckStatus, str] = {
    CheckStatus.PASSED: "✓",
    CheckStatus.FAILED: "✗",
    CheckStatus.BLOCKED: "·",
    CheckStatus.NOT_GRADED: "?",
}

NO_SCORE = "–"
"""Stands where a score would, if there is none."""

REASON_ID = "submission"
"""The id of the check that stands for an exercise's own message where a format knows only checks."""

_NOTES: dict[ExerciseStatus, str] = {
    ExerciseStatus.REJECTED: "This submission was not run, because the safety check refused it.",
    ExerciseStatus.NOT_SUBMITTED: "Nothing was handed in for this exercise.",
    ExerciseStatus.NOT_GRADED: "This could not be graded. It is not your fault and costs no points.",
}


def status_word(status: CheckStatus | ExerciseStatus) -> str:
    """The status as people read it: `not graded` for `not_graded`."""
    return status.value.replace("_", " ")


def number(value: float) -> str:
    """A number of points or seconds with at most two decimals and no needless zeros: `7.5`, `10`."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def points(score: float | None, max_score: float) -> str:
    """`4 / 10`, or `– / 10` if there is no score."""
    return f"{NO_SCORE if score is None else number(score)} / {number(max_score)}"


def standing(status: ExerciseStatus, score: float | None, max_score: float) -> str:
    """A verdict in a few words: `failed, 4 / 10`."""
    return f"{status_word(status)}, {points(score, max_score)}"


def check_points(check: CheckVerdict) -> str:
    """As `points`, for a check."""
    return points(None if check.status is CheckStatus.NOT_GRADED else check.score, check.max_score)


def bonus_note(exercise: ExerciseReport) -> str:
    """` (bonus)` behind the title of an exercise whose points come on top, else nothing."""
    return " (bonus)" if exercise.bonus else ""


def exercise_note(exercise: ExerciseReport) -> str:
    """What an exercise's status means to its student, where its message and its checks do not say it; may be empty."""
    if exercise.status is ExerciseStatus.NOT_SUBMITTED and exercise.message:
        return ""
    return _NOTES.get(exercise.status, "")


def place(verdict: CheckVerdict) -> str:
    """`Dockerfile:3`, `Dockerfile`, or nothing."""
    return f"{verdict.file}:{verdict.line}" if verdict.file and verdict.line is not None else verdict.file


def facts(check: CheckVerdict) -> tuple[tuple[str, str], ...]:
    """What is known of a failed check besides its message, as (label, text); only what is there."""
    ended = "" if check.ended == "exited 0" else check.ended.replace("_", " ")
    known = (("Expected", check.expected), ("Actual", check.actual), ("Ended", ended), ("Where", place(check)))
    return tuple((label, text.strip("\n")) for label, text in known if text.strip())


def failure_text(check: CheckVerdict) -> str:
    """All that is known of a check as plain lines, sanitized: the message, then each fact after its label."""
    parts = (("", check.message), *facts(check), ("Hint", check.hint), ("Try it", check.reproduce))
    return "\n".join(f"{label}: {sanitize(text)}" if label else sanitize(text) for label, text in parts if text)


def ungraded(reports: Iterable[Report]) -> Iterator[tuple[Report, ExerciseReport]]:
    """Every exercise that could not be graded, with the report it stands in."""
    for report in reports:
        for exercise in report.exercises:
            if exercise.status is ExerciseStatus.NOT_GRADED:
                yield report, exercise


def checks_or_reason(exercise: ExerciseReport) -> tuple[CheckVerdict, ...]:
    """The checks; before them the exercise's own message as one more, worth no points, if it has one.

    For formats that know checks only, so that the reason of a refusal is never lost.
    """
    if not exercise.message and exercise.checks:
        return exercise.checks
    reason = CheckVerdict(
        id=REASON_ID,
        title="The submission is graded",
        status=_REASON_STATUS[exercise.status],
        score=0.0,
        max_score=0.0,
        message=exercise.message or exercise_note(exercise),
    )
    return (reason, *exercise.checks)


_REASON_STATUS: dict[ExerciseStatus, CheckStatus] = {
    ExerciseStatus.PASSED: CheckStatus.PASSED,
    ExerciseStatus.FAILED: CheckStatus.FAILED,
    ExerciseStatus.REJECTED: CheckStatus.FAILED,
    ExerciseStatus.NOT_SUBMITTED: CheckStatus.FAILED,
    ExerciseStatus.NOT_GRADED: CheckStatus.NOT_GRADED,
}


def first_problem(exercise: ExerciseReport) -> str:
    """Why marks are missing, in one line: of the exercise's message, else of the first failed check's."""
    failed = (check for check in exercise.checks if check.status is CheckStatus.FAILED)
    found = next((f"{check.title}: {check.message}" for check in failed), "")
    return (exercise.message or found or exercise_note(exercise)).strip().partition("\n")[0]


def is_unseen(check: CheckVerdict) -> bool:
    """Whether a check was not carried out for a reason of its own, rather than waiting for another one to pass."""
    waits = check.message.startswith((NEEDS, NOT_BUILT))
    return check.status is CheckStatus.BLOCKED and check.message.startswith("Not checked:") and not waits


def has_same_cause(exercise: ExerciseReport, check: CheckVerdict) -> bool:
    """Whether a failed check is one more effect of an earlier one: it failed at the same line of the same file."""
    earlier = exercise.checks[: exercise.checks.index(check)]
    failed = (other for other in earlier if other.status is CheckStatus.FAILED)
    return check.line is not None and (check.file, check.line) in {(other.file, other.line) for other in failed}


def outcome(report: Report) -> str:
    """The report in one word: `not_graded` if anything is, `passed` for full marks, else `failed`."""
    statuses = {exercise.status for exercise in report.exercises}
    if ExerciseStatus.NOT_GRADED in statuses:
        return "not_graded"
    return "passed" if statuses <= {ExerciseStatus.PASSED} else "failed"


def next_step(report: Report, again: str = ".") -> str:
    """What the student does now, in one line; `again` is how it goes on where there is something to change."""
    statuses = {exercise.status for exercise in report.exercises}
    if not statuses:
        return "there was no exercise to grade."
    if ExerciseStatus.FAILED in statuses:
        return f"fix the first failed check{again}"
    if ExerciseStatus.REJECTED in statuses:
        return f"change what the message names{again}"
    if ExerciseStatus.NOT_SUBMITTED in statuses:
        return f"add the exercise that is not submitted (`grader start ID` makes its folder){again}"
    if ExerciseStatus.NOT_GRADED in statuses:
        return "nothing for you to fix: `grader doctor` tells what is wrong with the machine that grades."
    return "nothing is left to do: full marks."


def limits_note(engine: EngineInfo) -> str:
    """What was found out about limits before grading, in one line; "" where nobody asked."""
    found = engine.limits
    if found is None:
        return ""
    parts = (("held", found.proved), ("waived, not enforced", found.waived), ("not bounded", found.not_bounded))
    found_out = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
    return f"Limits, tried before grading – {found_out}."


def engine_note(engine: EngineInfo, seed: int) -> str:
    """Which engine graded, with which builder, base images and seed, in one line; its address is nobody's business."""
    name = "Docker Engine" if "://" in engine.name else engine.name
    images = "".join(f" · {reference}: {origin}" for reference, origin in engine.images)
    return f"{name} {engine.version} ({engine.tier}), builder {engine.builder}{images} · seed {seed}"
