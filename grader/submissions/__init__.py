"""From a folder, an archive or a download of a teacher's platform to vetted bytes, each file read once.

May import dockerfile, course and the values.
Knows no engine; nothing of a submission is written to disk, no link is followed, nothing in it is run.
"""
