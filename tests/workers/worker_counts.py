"""What a process holds of the system: its descendants and its descriptors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optimizer.workers.events import Event
from optimizer.workers.pool import WorkerPool

SHARED = Path("/dev/shm")
PATIENCE_S = 60.0  # on a machine that pauses; nothing here takes a second elsewhere


def gather(pool: WorkerPool, count: int) -> list[Event]:
    """So many events, in the order they came."""
    events: list[Event] = []
    until = time.monotonic() + PATIENCE_S
    while len(events) < count:
        assert time.monotonic() < until, f"{len(events)} of {count} events came: {events[-3:]}"
        events += pool.wait(1.0)
    assert len(events) == count, events
    return events


def ends(pool: WorkerPool, payloads: Iterable[Any]) -> list[Any]:
    """The `Done` or `Failed` of each payload, in the order of the payloads."""
    numbers = []
    for number, payload in enumerate(payloads):
        pool.submit(number, payload)
        numbers.append(number)
    events = {event.task: event for event in gather(pool, len(numbers))}
    pool.check()
    return [events[number] for number in numbers]


def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for something that is about to be."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.005)


def descendants(process: int) -> set[int]:
    """Processes below this one, zombies included."""
    found: set[int] = set()
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    grown = True
    while grown:
        new = {child for child, parent in parents.items() if parent in found | {process}} - found
        grown = bool(new)
        found |= new
    return found


def alive(process: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def descriptors() -> dict[str, str]:
    """The open descriptors of this process and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


@pytest.fixture(name="_nothing_is_left", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """After each test: no process, descriptor or file in shared memory more than before."""
    processes = descendants(os.getpid())
    opened = descriptors()
    files = set(SHARED.iterdir())
    yield
    until(lambda: descendants(os.getpid()) <= processes, "every process of the test gone")
    left = {key: value for key, value in descriptors().items() if opened.get(key) != value}
    assert left == {}
    assert {path for path in set(SHARED.iterdir()) - files if "optimizer" in path.name} == set()
