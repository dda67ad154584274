from statistics import mean

from journal import journal

log = journal(__name__, "logs")
log.debug("reading sales.txt")
with open("sales.txt") as file:
    weeks = [float(week) for week in file.read().split()]
log.debug("%d weeks read", len(weeks))
log.info("Predicted sales for next week: %s", mean(weeks))
