# sales_predictor.py
import click
from tabulate import tabulate

with open("/app/sales.txt") as file:
    sales = [float(line) for line in file if line.strip()]

click.echo(tabulate(enumerate(sales), headers=["week", "sales"]))
click.echo(f"Predicted sales for next week: {sum(sales) / len(sales)}")
