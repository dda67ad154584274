"""The container engine: build an image, run it, observe it, remove all that was made. The one import of the Docker SDK.

May import dockerfile, course and the values.
Judges nothing: a student's failure is an observation, only a fault of ours is an exception.
"""
