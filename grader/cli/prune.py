"""`grader prune`: remove what interrupted or killed graders left in the engine."""

from __future__ import annotations

import click

from grader.cli.common import examples, terminal
from grader.cli.wiring import open_engine


@click.command(epilog=examples("grader prune", "grader prune --all"))
@click.option(
    "--all", "everything", is_flag=True,
    help="Also what graders that are still running, or run on another machine, own.",
)  # fmt: skip
def command(*, everything: bool) -> int:
    """Remove what interrupted or killed graders left in the engine. Never anything else."""
    console = terminal()
    with open_engine() as engine:
        removed = engine.prune(everything=everything)
    for leftover in removed:
        console.note(f"removed {leftover.kind} {', '.join(leftover.names) or leftover.id[:19]}")
    console.note(f"{len(removed)} leftovers removed." if removed else "Nothing of ours was left in the engine.")
    return 0
