"""Reports in, text out: pure functions, one module for each form.

`to_text` for terminals, `to_json` for programs, `to_html` for people, `to_csv` for gradebooks,
`to_junit` and `to_github` for CI. What comes from a student is made inert in `clean`, once.
"""
