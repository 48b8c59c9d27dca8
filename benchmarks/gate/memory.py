"""Peak memory and number of allocations of one call, seen by memray.

Python's own allocations are tracked too: small objects share memory that is taken from the system
in large pieces, so without them a list that grew would not show.

A call does not leave the process as it found it: free lists fill up after the collection that
`Worker.open` made, and SQLite's connections sweep dead cursors out every few hundred. So several
calls are tracked, always as many, and the lowest counts are taken. Not the first: Python makes
line tables for the tracker then. No collection runs meanwhile, so cyclic garbage counts as memory.

Known blind spots: memory of child processes; memory that was taken before the call and is kept
longer; freed memory that the allocator does not give back. A mapped file counts as memory.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import linecache
import platform
import site
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .contract import Body

VERSION = 1  # of the way of counting; counts of different versions are never compared
LARGEST = 50  # places that `details` names
CALLS = 4

Frame = tuple[str, str, int]  # function, file, line


def unavailable() -> str:
    """Why memory cannot be tracked here; empty if it can."""
    if sys.platform not in {"linux", "darwin"}:
        return f"memray runs on Linux and macOS only, this is {platform.system()}"
    if importlib.util.find_spec("memray") is None:
        return "memray is not installed: python -m pip install memray"
    return ""


def identity() -> str:
    """What stored counts depend on: memray, this build of Python, libc, and the architecture."""
    version = importlib.metadata.version("memray")
    libc = " ".join(platform.libc_ver()).strip() or platform.platform()
    return f"{VERSION}; memray {version}; {sys.version}; {libc}; {platform.machine()}"


class MemoryTracker:
    """Tracks the memory of a body; garbage collection should be off around it."""

    def __init__(self) -> None:
        import memray

        self._tracker, self._reader = memray.Tracker, memray.FileReader
        kinds = memray.AllocatorType
        self._frees = {kinds.PYMALLOC_FREE, kinds.FREE, kinds.MUNMAP}

    def count(self, body: Body) -> dict[str, int]:
        """`peak_bytes` above what was allocated before, and `allocations`, of one `after` call.

        Cost: four calls, and a microsecond or two for each allocation.
        """
        with tempfile.TemporaryDirectory(prefix="gate-memory-") as folder:
            files = [self._track(body, Path(folder) / str(call)) for call in range(CALLS)]
            counts = [self._read(file) for file in files[1:]]
        return {name: min(count[name] for count in counts) for name in counts[0]}

    def details(self, body: Body) -> dict[str, dict[str, int]]:
        """Bytes at the peak, by the line of the suite or of the code under test that led to them.

        A line goes by its text, not by its number: that would change with each line above it.
        Ask for `count` first, which settles the process.
        """
        with tempfile.TemporaryDirectory(prefix="gate-memory-") as folder:
            found = self._places(self._track(body, Path(folder) / "details"))
        largest = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:LARGEST]
        return {"allocated at peak": dict(largest)}

    def _track(self, body: Body, file: Path) -> Path:
        """Write what one call allocates to `file`."""
        body.fresh()
        after = body.after
        with self._tracker(file, trace_python_allocators=True):
            answer = after()  # kept until tracking ended
        del answer
        return file

    def _read(self, file: Path) -> dict[str, int]:
        with self._reader(file) as reader:
            peak = sum(record.size for record in reader.get_high_watermark_allocation_records())
            allocators = (record.allocator for record in reader.get_allocation_records())
            allocations = sum(allocator not in self._frees for allocator in allocators)
        return {"peak_bytes": peak, "allocations": allocations}

    def _places(self, file: Path) -> Counter[str]:
        found: Counter[str] = Counter()
        with self._reader(file) as reader:
            for record in reader.get_high_watermark_allocation_records():
                found[place(record.stack_trace())] += record.size
        return found


def place(stack: Iterable[Frame]) -> str:
    """Where an allocation belongs: its innermost frame outside of libraries and of the gate."""
    frames = []
    for frame in stack:
        if Path(frame[1]).parent == Path(__file__).parent:
            break
        frames.append(frame)
    if not frames:
        return "the gate itself"
    own = (frame for frame in frames if not _of_a_library(frame[1]))
    function, file, line = next(own, frames[0])
    text = linecache.getline(file, line).strip()
    return f"{function} {_relative(file)}" + (f": {text}" if text else "")


def _of_a_library(file: str) -> bool:
    return file.startswith(("<", *_LIBRARIES))


def _relative(file: str) -> str:
    """The path below the folder of `sys.path` that it was imported from."""
    folders = [f"{folder}/" for folder in sys.path if folder and file.startswith(f"{folder}/")]
    return file.removeprefix(max(folders, key=len)) if folders else Path(file).name


def _library_folders() -> tuple[str, ...]:
    paths: dict[str, Any] = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(f"{folder}/" for folder in {*folders, *site.getsitepackages()})


_LIBRARIES = _library_folders()
