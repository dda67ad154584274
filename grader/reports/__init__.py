"""A report in, text out: for terminals, pages, gradebooks and CI. Pure functions, one module for each format.

May import grading (for totals), course and the values at the top of the package.
Opens no engine and writes no file; student text is sanitized by `grader.sanitize` first.
"""
