"""The images that students build FROM: local, pulled, or built here from Debian packages.

May import dockerfile (image names), course and the values.
Talks to an engine only through functions that it is given.
"""
