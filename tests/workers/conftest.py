"""After each test: no process and no descriptor more than before, no file in shared memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_counts import descendants, descriptors, until

SHARED = Path("/dev/shm")


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    processes = descendants(os.getpid())
    opened = descriptors()
    files = set(SHARED.iterdir())
    yield
    until(lambda: descendants(os.getpid()) <= processes, "every process of the test gone")
    left = {key: value for key, value in descriptors().items() if opened.get(key) != value}
    assert left == {}
    assert {path for path in set(SHARED.iterdir()) - files if "optimizer" in path.name} == set()
