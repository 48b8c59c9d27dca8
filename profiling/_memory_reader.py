"""Reads memray's captures; runs in the study's own interpreter, where the right memray is.

    python _memory_reader.py <request.json >answers

The request holds `captures` (paths), `moments_ms` (wall clock) and `objects`.  One JSON object a
capture comes back, as soon as it is read; `error` in it says why there is no more.  A line of
source stands for the innermost frame of the study's own code or of Optuna: what a library
allocates belongs to the line that called it.  Runs on Python 3.9 and later.
"""

from __future__ import annotations

import bisect
import json
import operator
import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memray import FileReader

    Owner = tuple[str, str, int]  # function, file, line
    Holders = dict[Owner, tuple[int, int]]  # bytes, allocations

_DEPTH = 100  # frames looked at
_MOST_POINTS, _MOST_LINES = 1500, 60
_CAUGHT = 0.95  # of the peak: from here on the snapshot stands for it
_CLOSE_MS = 30  # memray takes a snapshot every 10 ms
_GRACE_MS = 100  # between the last snapshot and the end of a process
_OWNERS = ("optuna", "optimizer")  # packages whose lines stand for themselves
# numpy keeps as many freed blocks of each size below this one and gives them to the next array.
_KEPT_BLOCKS, _KEPT_BELOW = 7, 1024
_ITS_ALLOCATORS = ("MALLOC", "CALLOC", "REALLOC")


def main() -> None:
    request = json.load(sys.stdin)
    for path in request["captures"]:
        try:
            answer = _read(path, request["moments_ms"])
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print("\n" + json.dumps({"path": path, **answer}), flush=True)


def _read(path: str, moments_ms: list[float]) -> dict[str, Any]:
    from memray import FileReader

    reader = FileReader(path, max_memory_records=10**7)
    try:
        snapshots = [(one.time, one.rss, one.heap) for one in reader.get_memory_snapshots()]
        metadata = reader.metadata
        end_ms = _end_ms(metadata, snapshots)
        lines, allocators = _held(reader, snapshots, moments_ms, end_ms)
        return {
            "error": "",
            "pid": metadata.pid,
            "start_ms": int(metadata.start_time.timestamp() * 1000),
            "last_ms": snapshots[-1][0] if snapshots else None,
            "end_ms": end_ms,
            "peak_bytes": metadata.peak_memory,
            "points": _thinned(snapshots),
            "allocators": allocators,
            **lines,
        }
    finally:
        reader.close()


def _end_ms(metadata: Any, snapshots: list[tuple[int, int, int]]) -> float | None:
    """When the tracker closed the capture, as its header tells; None when it never did."""
    end_ms: float = metadata.end_time.timestamp() * 1000
    last_ms = snapshots[-1][0] if snapshots else metadata.start_time.timestamp() * 1000
    return end_ms if end_ms >= last_ms - _CLOSE_MS else None


def _held(
    reader: FileReader,
    snapshots: list[tuple[int, int, int]],
    moments_ms: list[float],
    end_ms: float | None,
) -> tuple[dict[str, Any], list[list[Any]]]:
    """What lines held at the moments, and at the peak; in one pass where a snapshot caught it."""
    times_ms = [one[0] for one in snapshots]
    at_ms = [_snapshot_at(times_ms, moment, end_ms) for moment in moments_ms]
    if sum(place is not None for place in at_ms) < 2:
        moments = {"at_ms": [None] * len(at_ms), "lines": []}
        return moments, _ranked(_at_high_water(reader))
    peak = max(range(len(snapshots)), key=lambda n: snapshots[n][2])
    lines, at_peak = _lines(reader, at_ms, peak)
    if snapshots[peak][2] < _CAUGHT * reader.metadata.peak_memory:
        at_peak = _at_high_water(reader)
    known = [None if place is None else times_ms[place] for place in at_ms]
    return {"at_ms": known, "lines": lines}, _ranked(at_peak)


def _thinned(points: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of each stretch the highest and the lowest heap and the highest resident memory.

    So no peak is lost, and none is made where others add to what was high before or after.
    """
    if len(points) <= _MOST_POINTS:
        return points
    count = _MOST_POINTS // 3
    step = len(points) / count
    parts = [points[int(n * step) : int((n + 1) * step)] for n in range(count)]
    kept = []
    for part in parts:
        heap, resident = operator.itemgetter(2), operator.itemgetter(1)
        kept += sorted({max(part, key=heap), min(part, key=heap), max(part, key=resident)})
    return kept


def _at_high_water(reader: FileReader) -> Holders:
    held: Holders = {}
    owners: dict[int, Owner] = {}
    for record in reader.get_high_watermark_allocation_records(merge_threads=True):
        key = _owner(record, owners)
        size, count = held.get(key, (0, 0))
        held[key] = size + record.size, count + record.n_allocations
    return held


def _ranked(held: Holders) -> list[list[Any]]:
    ranked = sorted(held.items(), key=lambda item: -item[1][0])[:_MOST_LINES]
    return [[*key, size, count] for key, (size, count) in ranked]


def _lines(
    reader: FileReader, places: list[int | None], peak: int
) -> tuple[list[tuple[str, str, int, list[int]]], Holders]:
    """What each line held at some snapshots, and at the one of the peak."""
    steps = [place for place in places if place is not None]
    from memray import AllocatorType

    plain = {int(getattr(AllocatorType, name)) for name in _ITS_ALLOCATORS}
    held = _Held(len(steps))
    at_peak: Holders = {}
    owners: dict[int, Owner] = {}
    for record in reader.get_temporal_allocation_records(merge_threads=True):
        for one in record.intervals:
            end = one.deallocated_before_snapshot
            first = bisect.bisect_left(steps, one.allocated_before_snapshot)
            last = len(steps) if end is None else bisect.bisect_left(steps, end)
            if first < last:
                block = one.n_bytes // max(one.n_allocations, 1)
                small = block < _KEPT_BELOW and record.allocator in plain
                held.add(_owner(record, owners), first, last, one, block if small else None)
            if one.allocated_before_snapshot <= peak and (end is None or peak < end):
                key = _owner(record, owners)
                size, count = at_peak.get(key, (0, 0))
                at_peak[key] = size + one.n_bytes, count + one.n_allocations
    return _series(held.changes(), places), at_peak


class _Held:
    """How the bytes of each line change from step to step, without the blocks numpy keeps.

    An array's small block comes back to numpy, not to the C library, so it looks as if its line
    still held it.  Of each such size a line's first few blocks do not count: what grows by more
    than these is a growth all the same.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._bytes: dict[Owner, list[int]] = {}
        self._blocks: dict[tuple[Owner, int], list[int]] = {}  # how many, by size

    def add(self, owner: Owner, first: int, last: int, interval: Any, block: int | None) -> None:
        """Blocks that are held from one step to before another; block: their size if small."""
        new = [0] * (self._steps + 1)
        if block is None:
            series, amount = self._bytes.setdefault(owner, new), interval.n_bytes
        else:
            series = self._blocks.setdefault((owner, block), new)
            amount = interval.n_allocations
        series[first] += amount
        series[last] -= amount

    def changes(self) -> dict[Owner, list[int]]:
        for (owner, block), counts in self._blocks.items():
            series = self._bytes.setdefault(owner, [0] * (self._steps + 1))
            count = before = 0
            for step, change in enumerate(counts):
                count += change
                counted = max(count - _KEPT_BLOCKS, 0) * block
                series[step] += counted - before
                before = counted
        self._blocks.clear()
        return self._bytes


def _series(
    changes: dict[Owner, list[int]], places: list[int | None]
) -> list[tuple[str, str, int, list[int]]]:
    """The changes added up, with zeros where the process did not live; the largest growth first."""
    lines = []
    for key, steps in changes.items():
        held, total, n = [0] * len(places), 0, 0
        for i, place in enumerate(places):
            if place is not None:
                total += steps[n]
                n += 1
                held[i] = total
        lines.append((*key, held))
    lived = [i for i, place in enumerate(places) if place is not None]
    lines.sort(key=lambda line: -abs(line[3][lived[-1]] - line[3][lived[0]]))
    return lines[:_MOST_LINES]


def _snapshot_at(times_ms: list[int], moment: float, end_ms: float | None) -> int | None:
    """The first snapshot from a moment on; None where the process did not live.

    The last one stands for what came after it: memray takes none when it ends, and its thread may
    wait long for an allocating study.
    """
    if not times_ms or moment < times_ms[0]:
        return None
    if moment > max(times_ms[-1] + _GRACE_MS, end_ms or 0.0):
        return None
    return min(bisect.bisect_left(times_ms, moment), len(times_ms) - 1)


def _owner(record: Any, owners: dict[int, Owner]) -> Owner:
    """The line that an allocation belongs to."""
    if record.stack_id not in owners:
        owners[record.stack_id] = _owner_of(_stack(record))
    return owners[record.stack_id]


def _stack(record: Any) -> list[tuple[str, str, int]]:
    try:
        stack: list[tuple[str, str, int]] = record.stack_trace(max_stacks=_DEPTH)
        return stack
    except NotImplementedError:
        return []


def _owner_of(stack: list[tuple[str, str, int]]) -> Owner:
    place = next((n for n, frame in enumerate(stack) if not _in_a_library(frame[1])), 0)
    if not stack:
        return "no Python frame", "", 0
    function, file, line = stack[place]
    for outer in stack[place + 1 :]:  # a comprehension has the name of its function
        if not function.startswith("<") or function == "<module>" or outer[1] != file:
            break
        function, line = outer[0], line or outer[2]  # on Python 3.9 memray knows no line of it
    return function, file, line


_LIBRARIES: dict[str, bool] = {}


def _in_a_library(file: str) -> bool:
    if file not in _LIBRARIES:
        _LIBRARIES[file] = _is_of_a_library(file)
    return _LIBRARIES[file]


def _is_of_a_library(file: str) -> bool:
    """Whether a file stands for whoever called it: the standard library and most packages."""
    if file.startswith("<"):
        return not file.startswith(("<stdin", "<ipython"))
    path = os.path.abspath(file)
    for packages in ("/site-packages/", "/dist-packages/"):
        if packages in path:
            return path.rpartition(packages)[2].split("/")[0] not in _OWNERS
    return path.startswith((_STDLIB, _PLATFORM, _HERE))


_STDLIB = sysconfig.get_path("stdlib") + os.sep
_PLATFORM = sysconfig.get_path("platstdlib") + os.sep
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

if __name__ == "__main__":
    main()
