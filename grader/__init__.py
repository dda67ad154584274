"""Grades Docker exercises. Imports nothing, so that the command line starts fast."""

__all__ = ["__version__"]

__version__ = "0.1.0"
