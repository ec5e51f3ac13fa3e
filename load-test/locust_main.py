#!/usr/bin/python3
"""Locust's own command, made to work with Debian 12's package.

Its python3-locust 2.12.1 says that its version is the empty text, which a master takes for
an old worker and refuses; so the version is put in place before anything reads it. Also,
a process that was started in the background ignores SIGINT, by which run.py ends Locust.
"""

import signal
import sys
import types

version = types.ModuleType("locust._version")
version.version = "2.12.1"
version.version_tuple = (2, 12, 1)
sys.modules["locust._version"] = version
signal.signal(signal.SIGINT, signal.default_int_handler)

from locust.main import main  # noqa: E402  only now

main()
