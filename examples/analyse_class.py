"""Three questions to a class's results, and two plots.

    grader batch examples/class --out results/
    python examples/analyse_class.py results/

Read it like a notebook: each part asks one question of the tables that `open_results` gives. The plots are SVG, made
with nothing but strings, so that nothing else has to be installed; with matplotlib, `frame.plot.barh()` does the same.
"""

import sys
from html import escape
from pathlib import Path

import pandas as pd

from grader import open_results


def bars(values: pd.Series, title: str, unit: str) -> str:
    """A bar for each value, as an SVG."""
    widest = max(values.max(), 1e-9)
    lines = [
        f'<text x="215" y="{40 + 26 * row}" text-anchor="end">{escape(str(name))[:34]}</text>'
        f'<rect x="225" y="{27 + 26 * row}" width="{300 * value / widest:.1f}" height="18" fill="#2f7f8f"/>'
        f'<text x="{231 + 300 * value / widest:.1f}" y="{40 + 26 * row}">{value:.3g}{unit}</text>'
        for row, (name, value) in enumerate(values.items())
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="{40 + 26 * len(values)}" '
        f'font-family="sans-serif" font-size="13"><title>{escape(title)}</title>'
        f'<text x="10" y="16" font-weight="bold">{escape(title)}</text>{"".join(lines)}</svg>\n'
    )


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
results = open_results(folder)
print(f"{results.title}: {results.submissions['student'].nunique()} students\n")

# ── 1. Which exercises are hard? ────────────────────────────────────────────────────────
graded = results.submissions.dropna(subset=["score"])
share = (graded["score"] / graded["max_score"]).groupby(graded["exercise"]).mean().sort_values()
print("Mean share of the points, the hardest exercise first:")
print((100 * share).round().astype(int).astype(str).add("%").to_string(), "\n")
(folder / "hard.svg").write_text(bars(100 * share, "Mean share of the points", "%"), encoding="utf-8")

# ── 2. Which mistakes cost the class most? ──────────────────────────────────────────────
failed = results.checks[results.checks["status"] == "failed"]
lost = failed.assign(points=failed["max_score"]).groupby(["code", "reason"])
mistakes = pd.DataFrame({"students": lost["student"].nunique(), "points": lost["points"].sum()})
print("Mistakes, the most expensive first:")
print(mistakes.sort_values("points", ascending=False).head(10).to_string(), "\n")

# ── 3. Where does the time go? ──────────────────────────────────────────────────────────
seconds = results.runs.groupby("kind")["seconds"].agg(["count", "median", "sum"]).round(2)
print("Seconds by what was done:")
print(seconds.to_string(), "\n")
slow = results.runs[results.runs["kind"] == "built"].groupby("exercise")["seconds"].median().sort_values()
(folder / "builds.svg").write_text(bars(slow, "Median build, in seconds", " s"), encoding="utf-8")

print(f"Written: {folder / 'hard.svg'}, {folder / 'builds.svg'}")
