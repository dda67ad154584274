"""For all tests: property tests have no deadline (a slow day is no failure), and in CI the same examples each time.

Ctrl-C works however the tests were started: a shell starts what it runs in the background with SIGINT ignored, and
programs inherit that. With a handler of Python's own, those that tests start get the usual one again.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

signal.signal(signal.SIGINT, signal.default_int_handler)
