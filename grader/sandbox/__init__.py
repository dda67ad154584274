"""Students' own commands: a nested engine, a proxy before it, and what runs `commands.sh` and Compose there.

May import base_images, engine, dockerfile, course and the values.
Concludes nothing: it carries out a request and says what was seen.
"""
