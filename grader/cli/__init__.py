"""The command line: the commands (`main` says which module has which), and what a command opens (`wiring`).

Imports every part below it. It is the only part that writes to the terminal (`console`, the one import of rich) and
that turns exceptions into messages and exit codes (`main`). Nothing imports it.
"""
