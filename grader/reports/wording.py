"""Words and numbers that every form of a report shares, so that they cannot disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from grader.grading.scoring import NEEDS, NOT_BUILT
from grader.models import CheckStatus, CheckVerdict, EngineInfo, ExerciseReport, ExerciseStatus, Report
from grader.sanitize import sanitize

SIGNS = {
    CheckStatus.PASSED: "✓",
    CheckStatus.FAILED: "✗",
    CheckStatus.BLOCKED: "·",
    CheckStatus.NOT_GRADED: "?",
}
NO_SCORE = "–"
"""Stands where a score would, if there is none."""

_NOTES = {
    ExerciseStatus.REJECTED: "This submission was not run, because the safety check refused it.",
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
    """What an exercise's status means to its student, where its message and its checks do not say it; may be ""."""
    return _NOTES.get(exercise.status, "")


def place(verdict: CheckVerdict) -> str:
    """`Dockerfile:3`, `Dockerfile`, or nothing."""
    return f"{verdict.file}:{verdict.line}" if verdict.file and verdict.line is not None else verdict.file


def facts(check: CheckVerdict, *, further: bool = False) -> list[tuple[str, str]]:
    """What is known of a failed check besides its message, as (label, text); `further` has what to do, too."""
    ended = "" if check.ended == "exited 0" else check.ended.replace("_", " ")
    known = [("Expected", check.expected), ("Actual", check.actual), ("Ended", ended), ("Where", place(check))]
    known += [("Hint", check.hint), ("Try it", check.reproduce)] if further else []
    return [(label, text.strip("\n")) for label, text in known if text.strip()]


def failure_text(check: CheckVerdict) -> str:
    """All that is known of a check as plain lines, sanitized: the message, then each fact after its label."""
    parts = [("", check.message), *facts(check, further=True)]
    return "\n".join(f"{label}: {sanitize(text)}" if label else sanitize(text) for label, text in parts if text)


def ungraded(reports: Iterable[Report]) -> Iterator[tuple[Report, ExerciseReport]]:
    """Every exercise that could not be graded, with the report it stands in."""
    for report in reports:
        yield from ((report, one) for one in report.exercises if one.status is ExerciseStatus.NOT_GRADED)


def checks_or_reason(exercise: ExerciseReport) -> tuple[CheckVerdict, ...]:
    """The checks; before them the exercise's own message as one more, worth no points, if it has one.

    For formats that know checks only, so that the reason of a refusal is never lost.
    """
    if not exercise.message and exercise.checks:
        return exercise.checks
    nothing_run = exercise.status in {ExerciseStatus.REJECTED, ExerciseStatus.NOT_SUBMITTED}
    status = CheckStatus.FAILED if nothing_run else CheckStatus(exercise.status.value)
    message = exercise.message or exercise_note(exercise)
    return (CheckVerdict("submission", "The submission is graded", status, 0.0, 0.0, message), *exercise.checks)


def first_problem(exercise: ExerciseReport) -> str:
    """Why marks are missing, in one line: of the exercise's message, else of the first failed check's."""
    failed = (check for check in exercise.checks if check.status is CheckStatus.FAILED)
    found = next((f"{check.title}: {check.message}" for check in failed), "")
    return (exercise.message or found or exercise_note(exercise)).strip().partition("\n")[0]


def is_unseen(check: CheckVerdict) -> bool:
    """Whether a check was not carried out for a reason of its own, rather than waiting for another one to pass."""
    waits = check.message.startswith((NEEDS, NOT_BUILT))
    return check.status is CheckStatus.BLOCKED and check.message.startswith("Not checked:") and not waits


def grouped(exercise: ExerciseReport) -> dict[str, list[CheckVerdict]]:
    """The checks by what became of each, in words. Failures at one line of one file have the same cause: the first."""
    groups: dict[str, list[CheckVerdict]] = {
        "failed": [],
        "failed for the same cause": [],
        "not carried out": [],
        "waiting for it": [],
        "not graded": [],
        "passed": [],
    }
    causes: set[tuple[str, int]] = set()
    for check in exercise.checks:
        what = status_word(check.status)
        if check.status is CheckStatus.BLOCKED:
            what = "not carried out" if is_unseen(check) else "waiting for it"
        elif check.status is CheckStatus.FAILED and check.line is not None:
            what = "failed for the same cause" if (check.file, check.line) in causes else what
            causes.add((check.file, check.line))
        groups[what].append(check)
    return groups


def outcome(report: Report) -> str:
    """The report in one word: `not_graded` if anything is, `passed` for full marks, else `failed`."""
    statuses = {exercise.status for exercise in report.exercises}
    if ExerciseStatus.NOT_GRADED in statuses:
        return "not_graded"
    return "passed" if statuses <= {ExerciseStatus.PASSED} else "failed"


_STEPS = {
    ExerciseStatus.FAILED: "fix the first failed check{}",
    ExerciseStatus.REJECTED: "change what the message names{}",
    ExerciseStatus.NOT_SUBMITTED: "add the exercise that is not submitted (`grader start ID` makes its folder){}",
    ExerciseStatus.NOT_GRADED: "nothing for you to fix: `grader doctor` tells what is wrong with the machine that "
    "grades.",
    ExerciseStatus.PASSED: "nothing is left to do: full marks.",
}


def next_step(report: Report, again: str) -> str:
    """What the student does now, in one line; `again` is how it goes on where there is something to change."""
    statuses = {exercise.status for exercise in report.exercises}
    step = next((text for status, text in _STEPS.items() if status in statuses), "there was no exercise to grade.")
    return step.format(again)


def limits_note(engine: EngineInfo) -> str:
    """What was found out about limits before grading, in one line; "" where nobody asked."""
    found = engine.limits
    if found is None:
        return ""
    parts = (("held", found.proved), ("waived, not enforced", found.waived), ("not bounded", found.not_bounded))
    found_out = "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)
    return f"Limits, tried before grading – {found_out}."


def engine_note(report: Report) -> str:
    """Which engine graded, with which builder, base images and seed, in one line; its address is nobody's business."""
    engine = report.engine
    name = "Docker Engine" if "://" in engine.name else engine.name
    images = "".join(f" · {reference}: {origin}" for reference, origin in engine.images)
    return f"{name} {engine.version} ({engine.tier}), builder {engine.builder}{images} · seed {report.seed}"
