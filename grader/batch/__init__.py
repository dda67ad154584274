"""Many submissions: grading them side by side, the journal that is the truth, the selftest of a course.

May import grading and all below it.
Makes no pages and prints nothing: that is `reports` and `cli`.
"""
