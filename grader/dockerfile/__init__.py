"""A Dockerfile as the builder reads it: instructions, stages, ignored files, image names, and the safety policy.

May import only the values.
Pure: bytes and text in, values out.
"""
