"""Proof that limits hold on this machine: small submissions that take more than they may, and what follows from it.

May import grading and all below it.
Knows no command and no page.
"""
