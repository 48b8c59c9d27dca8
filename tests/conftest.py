"""Settings of hypothesis for every test."""

from __future__ import annotations

from hypothesis import settings

# Shared machines pause for longer than any deadline; a fixed seed makes a red run repeatable.
settings.register_profile("default", deadline=None, max_examples=100, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("default")  # `pytest --hypothesis-profile=search` looks further
