"""`grader prune`: remove what interrupted or killed graders left in the engine."""

from __future__ import annotations

from grader.cli.common import terminal
from grader.cli.wiring import cache_folder, open_engine
from grader.sandbox.nested_engine import remove_dead_folders


def remove_leftovers(*, everything: bool) -> int:
    """Remove leftovers of graders that are dead; with `everything` those of all graders."""
    console = terminal()
    with open_engine() as engine:
        removed = engine.prune(everything=everything)
    remove_dead_folders(cache_folder())
    for leftover in removed:
        console.note(f"removed {leftover.kind} {', '.join(leftover.names) or leftover.id[:19]}")
    console.note(f"{len(removed)} leftovers removed." if removed else "Nothing of ours was left in the engine.")
    return 0
