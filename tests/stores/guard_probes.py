"""What a guard holds open, seen from outside."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from optimizer.stores.guard import NoDupeGuard


def raw_of(guard: NoDupeGuard) -> sqlite3.Connection:
    raw = guard._database._here.kept.raw
    assert raw is not None
    return raw


def open_files(path: Path) -> list[str]:
    """Descriptors of this process that point at the file or its side files."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return found
