from pathlib import Path

import click
import numpy


@click.command()
@click.argument("weeks", nargs=-1, type=float)
def predict(weeks):
    """Predict next week's sales from WEEKS, or from sales.txt."""
    if not weeks:
        weeks = [float(word) for word in Path("sales.txt").read_text().split()]
    click.echo(f"Predicted sales for next week: {numpy.mean(weeks):.2f}")


predict()
