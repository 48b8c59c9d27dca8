"""For every test: settings of hypothesis and of Python, and an Optuna that is quiet."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Whoever starts the tests in the background may have SIGINT ignored, which processes inherit; the
# tests of Ctrl-C send it to processes of their own.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where compiled files are forbidden, each worker of pytest-xdist and each of the many processes
# that tests start would compile all of this anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Shared machines pause for longer than any deadline; a fixed seed makes a red run repeatable.
settings.register_profile("default", deadline=None, max_examples=50, derandomize=True)
# `nox -s stress` looks again at every test of generated values, by more of them.
settings.register_profile("stress", deadline=None, max_examples=400, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("default")  # `pytest --hypothesis-profile=search` looks further


@pytest.fixture
def quiet() -> Iterator[None]:
    """Optuna says nothing of each study and trial."""
    import optuna  # here, since most tests need none

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)
