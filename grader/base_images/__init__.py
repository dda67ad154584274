"""The images that students build FROM: local, pulled, or built here from Debian packages.

May import the engine (images), dockerfile (image names), course and the values.
Judges nothing.
"""
