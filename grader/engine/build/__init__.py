"""From a build context to an image or the reason why there is none: the context, the builders, and what they report.

May import what the engine may.
Runs nothing, and judges nothing.
"""
