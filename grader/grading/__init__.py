"""One submission, one exercise: drive its checks, carry out what they ask for, give points.

May import checks and all below it.
The only part that drives checks; points are given in `scoring` and nowhere else.
"""
