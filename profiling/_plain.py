"""Reads plain files of a folder that may be another user's: no links, pipes or devices."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A plain file, open for reading.  Raises OSError, also for what is no plain file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no plain file")
        yield file


def text(path: Path, most: int = -1) -> str:
    """The text of a plain file, or its first bytes; empty where there is none."""
    with contextlib.suppress(OSError), opened(path) as file:
        return file.read(most).decode("utf-8", "replace")
    return ""


def troubles(folder: Path) -> dict[int, str]:
    """What the recording of memory met last, by process, as its hook noted it."""
    found = {}
    for path in folder.glob("*.trouble"):
        lines = [line for line in text(path).splitlines() if line.startswith("_memory_hook")]
        if path.stem.isdigit() and lines:
            found[int(path.stem)] = lines[-1]
    return found
