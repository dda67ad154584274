"""Grades Docker exercises.

    from grader import check, open_course, open_results

    report = check("3.1.4")                  # as `grader check` does; report.score, report.exercises[0].checks
    course = open_course().course            # its exercises and their checks
    results = open_results("results")        # of `grader batch`: pandas tables, results.submissions and others

What goes wrong is raised as `grader.errors.GraderError`. Nothing is imported before it is used, so that the command
line starts fast.
"""

from typing import TYPE_CHECKING

__all__ = ["__version__", "check", "open_course", "open_results"]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from grader.api import check, open_course, open_results
else:

    def __getattr__(name: str) -> object:
        if name in __all__:
            from grader import api

            return getattr(api, name)
        raise AttributeError(f"module 'grader' has no attribute '{name}'")
