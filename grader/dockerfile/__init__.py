"""A Dockerfile as the builder reads it: instructions, stages, ignored files, image names, and the safety policy.

May import course and the values.
Pure: bytes and text in, values out.
"""
