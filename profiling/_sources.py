"""Lines of source, only where they are still those that ran."""

from __future__ import annotations

import linecache
import math
import os
import stat

_MOST_BYTES = 16_000_000
_SLACK_S = 2.0  # by which the clocks of disks may differ


class Sources:
    """Reads lines of files that have not changed since a moment, and of regular files only."""

    def __init__(self, since_s: float = math.inf) -> None:
        """since_s: of the clock that files are dated by."""
        self.changed: set[str] = set()
        self._until_s = since_s + _SLACK_S
        self._readable: dict[str, bool] = {}

    def line(self, file: str, number: int) -> str:
        """One line with its end; empty where there is none or it may be another."""
        return linecache.getline(file, number) if self._may_read(file) else ""

    def has(self, file: str, number: int) -> bool:
        """Whether a file has so many lines."""
        return self._may_read(file) and len(linecache.getlines(file)) >= number

    def _may_read(self, file: str) -> bool:
        known = self._readable.get(file)
        if known is None:
            known = self._readable[file] = self._looked_at(file)
        return known

    def _looked_at(self, file: str) -> bool:
        try:
            found = os.stat(file)
        except OSError:
            return True  # not a path, as `<frozen os>`: linecache knows
        except ValueError:
            return False  # nor a name
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            return False
        if found.st_mtime > self._until_s:
            self.changed.add(file)
            return False
        return True
