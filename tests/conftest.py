"""Settings for every test: hypothesis, and a Ctrl-C that arrives."""

from __future__ import annotations

import signal

from hypothesis import settings

# Whoever starts the tests in the background may have SIGINT ignored, which processes inherit; the
# tests of Ctrl-C send it to processes of their own.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines pause for longer than any deadline; a fixed seed makes a red run repeatable.
settings.register_profile("default", deadline=None, max_examples=100, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("default")  # `pytest --hypothesis-profile=search` looks further
