"""Exclusive timers: the truth that planted studies are checked against.

At every moment a thread is in exactly one phase: a timed function takes the clock from its caller
and gives it back.  Each process writes its intervals to a file of its own when it ends; what is
added up over threads and processes follows the definition in `_phases.py`.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import logging
import marshal
import multiprocessing.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAITS = ("wait for workers",)
_Interval = tuple[int, int, str]
_FOLDER = "PLANTED_TRUTH"


class _Clock(threading.local):
    """The open phases of one thread, outermost first."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.since = time.monotonic_ns()
        self.intervals: list[_Interval] = []
        with _LOCK:
            _ALL.append(self.intervals)

    def change(self) -> None:
        """Book the time since the last change on the innermost phase."""
        now = time.monotonic_ns()
        if self.phases:
            self.intervals.append((self.since, now, self.phases[-1]))
        self.since = now


_LOCK = threading.Lock()
_ALL: list[list[_Interval]] = []
_clock = _Clock()
_WRITING: list[_Interval] = []


@contextmanager
def phase(name: str) -> Iterator[None]:
    """The enclosed code, less what is timed inside it, is of this phase."""
    _clock.change()
    _clock.phases.append(name)
    try:
        yield
    finally:
        _clock.change()
        _clock.phases.pop()


def timed(name: str) -> Callable[[Any], Any]:
    """A decorator: the function is of this phase."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def timed_call(*arguments: Any, **named: Any) -> Any:
            _clock.change()
            _clock.phases.append(name)
            try:
                return function(*arguments, **named)
            finally:
                _clock.change()
                _clock.phases.pop()

        return timed_call

    return decorate


def time_methods(target: Any, name: str, methods: tuple[str, ...] | None = None) -> Any:
    """Time the public methods of an object (or those named); returns the object."""
    for method in methods or [word for word in dir(type(target)) if not word.startswith("_")]:
        function = getattr(target, method, None)
        if callable(function):
            setattr(target, method, timed(name)(function))
    return target


def time_study(study: Any) -> Any:
    """Time what a study is made of, and the collections and log lines beside it; returns it.

    Optuna's own bookkeeping counts as in `_rules.py`: what a suggestion needs as sampler, what
    the study and its trials need as storage.
    """
    time_methods(study._storage, "storage")
    methods = ("infer_relative_search_space", "sample_relative", "sample_independent")
    time_methods(study.sampler, "sampler", (*methods, "before_trial", "after_trial", "reseed_rng"))
    time_methods(study.pruner, "pruner", ("prune",))
    trial = importlib.import_module("optuna.trial").Trial
    if not hasattr(trial._suggest, "__wrapped__"):  # once a process
        trial._suggest = timed("sampler")(trial._suggest)
        trial.report = timed("storage")(trial.report)
        trial.should_prune = timed("pruner")(trial.should_prune)
        _time_surroundings()
    return study


def _time_surroundings() -> None:
    gc.collect = timed("garbage collection")(gc.collect)
    logging.Logger._log = timed("logging")(logging.Logger._log)  # type: ignore[method-assign]  # the truth needs a timer there
    os.fsync = timed("wait for disk")(os.fsync)


def time_commits() -> None:
    """SQLAlchemy's commits wait for the disk. Once a process."""
    dialect = importlib.import_module("sqlalchemy.engine.default").DefaultDialect
    if not hasattr(dialect.do_commit, "__wrapped__"):
        dialect.do_commit = timed("wait for disk")(dialect.do_commit)


def begin(name: str) -> None:
    """Everything of this process so far, interpreter start included, is of this phase."""
    _clock.intervals.append((_process_start_ns(), time.monotonic_ns(), name))
    _clock.since = time.monotonic_ns()
    _time_transport()
    _time_imports()
    multiprocessing.util.Finalize(None, write, exitpriority=1)
    if multiprocessing.parent_process() is None:
        atexit.register(write)


def _time_imports() -> None:
    """A module that is not there yet is imported, wherever that happens."""
    bootstrap: Any = sys.modules["_frozen_importlib"]  # what C calls, too
    if not hasattr(bootstrap._find_and_load, "__wrapped__"):
        bootstrap._find_and_load = timed("import")(bootstrap._find_and_load)
        loader: Any = sys.modules["_frozen_importlib_external"]._LoaderBasics
        loader.exec_module = timed("import")(loader.exec_module)


def _time_transport() -> None:
    """The body of a message is transport where it is received; to send it is to wait for that."""
    connection = importlib.import_module("multiprocessing.connection").Connection
    pickler = importlib.import_module("multiprocessing.reduction").ForkingPickler
    if hasattr(connection._send, "__wrapped__"):
        return
    receive, body = connection._recv, timed("transport")(connection._recv)

    @functools.wraps(receive)
    def _recv(self: Any, size: int, *arguments: Any) -> Any:
        return (body if size > 8 else receive)(self, size, *arguments)

    connection._recv = _recv
    connection._send = timed("wait for workers")(connection._send)
    pickler.dumps = timed("transport")(pickler.dumps)
    pickler.loads = timed("transport")(pickler.loads)


def write() -> None:
    """Write the intervals of all threads of this process; again and again is harmless.

    The time that this takes is of no phase, and is written after it.
    """
    folder = os.environ.get(_FOLDER)
    if folder:
        start = time.monotonic_ns()
        Path(folder, f"{os.getpid()}.truth").write_bytes(marshal.dumps(_ALL))
        _WRITING.append((start, time.monotonic_ns(), "other"))
        Path(folder, f"{os.getpid()}-writing.truth").write_bytes(marshal.dumps([_WRITING]))


def _process_start_ns() -> int:
    """When this process was born, on the monotonic clock; a study that is held up begins later."""
    hook = sys.modules.get("_trial_hook")
    if hook is not None and multiprocessing.parent_process() is None:
        return int(hook._marks.begun_ns)
    with open("/proc/self/stat", encoding="utf-8") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    since_boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    age_ns = since_boot_ns - ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return time.monotonic_ns() - max(age_ns, 0)


def forget() -> None:
    """A forked child begins with nothing booked."""
    _ALL.clear()
    _WRITING.clear()
    _clock.__init__()  # type: ignore[misc]  # the child's thread starts its own record


os.register_at_fork(after_in_child=forget)


def seconds(folder: Path) -> dict[str, float]:
    """The truth in seconds per phase: waits count only while nobody works, and then once."""
    threads: list[list[_Interval]] = []
    for path in sorted(folder.glob("*.truth")):
        threads += [[(a, b, p) for a, b, p in one] for one in marshal.loads(path.read_bytes())]
    total: dict[str, float] = {}
    work = merged((a, b) for one in threads for a, b, p in one if p not in WAITS)
    for one in threads:
        for start, end, name in one:
            if name not in WAITS:
                total[name] = total.get(name, 0.0) + (end - start) / 1e9
    waits = merged((a, b) for one in threads for a, b, p in one if p in WAITS)
    idle = covered(merged([*work, *waits])) - covered(work)
    return {**total, WAITS[0]: idle / 1e9}


def merged(spans: Any) -> list[tuple[int, int]]:
    """The union of spans, in order."""
    union: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def covered(union: list[tuple[int, int]]) -> int:
    """How much a union covers."""
    return sum(end - start for start, end in union)
