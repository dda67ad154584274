"""Many submissions: grading them here or on a cluster, the journal that is the truth, and the files made from it.

May import reports, grading and all below them. Rosters, a teacher's rules and the selftest belong here, too.
Opens no engine (it is given what opens one) and prints nothing: that is `cli`.
"""
