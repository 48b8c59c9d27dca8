"""Exact counts of one call: what it did, whatever the machine was doing meanwhile.

Three passes, each on a fresh state, because one instrument would count another's work:

    SQL and files   statements, SQLite steps, commits, how strictly they are synchronized, files
                    opened, listings, processes started; under strace also fsyncs
    bytecodes       `sys.monitoring` where there is one (3.12+), else `sys.settrace`; the two
                    differ by a few and are never compared with each other
    calls           Python and C calls by `sys.setprofile`

Known blind spots: work inside a compiled kernel, sleeping, cache misses. CPU time sees those.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from sqlite3 import dbapi2
from types import CodeType, FrameType
from typing import Any

from .contract import Body
from .errors import NotMeasuredError
from .instruments import Counts, Details

VERSION = 1  # of the way of counting; counts of different versions are never compared

_EVENTS = {
    "open": "opens",
    "os.listdir": "listings",
    "os.scandir": "listings",
    "glob.glob": "listings",
    "subprocess.Popen": "processes",
    "os.posix_spawn": "processes",
    "os.fork": "processes",
    "sqlite3.connect": "connections",
}
# Statements that commit nothing of their own. (A WITH may write: it counts, as a write would.)
_READ_ONLY = frozenset({"SELECT", "PRAGMA", "BEGIN", "EXPLAIN", "ROLLBACK", "SAVEPOINT"})
# `PRAGMA synchronous`: a commit counts as much as its connection's setting, FULL unless it was set.
_SYNCHRONOUS = {"OFF": 0, "NORMAL": 1, "FULL": 2, "EXTRA": 3}
_SETS_SYNCHRONOUS = re.compile(r"\s*PRAGMA\s+(?:\w+\.)?SYNCHRONOUS\s*[=(]\s*['\"]?(\w+)", re.I)
LARGEST = 100  # functions that details name
_MARKER_FD = 2**30  # no file: its fsync fails at once and does nothing but show up in strace's log


class CallCounter:
    """Counts what a body does; install it before the code under test opens any connection."""

    def __init__(self, fsync_log: Path | None = None) -> None:
        self._fsync_log = fsync_log
        self._on = False
        self._seen: Counter[str] = Counter()
        self._things: dict[str, Counter[str]] = {}  # filled only where details are asked for
        sys.addaudithook(self._audit)
        self._wrap_connect()
        self._wrap_spawn()

    def count(self, body: Body) -> Counts:
        """Counters of one `after` call; each pass starts from `fresh`."""
        counts = self._effects(body)
        counts["bytecodes"] = _bytecodes(body)
        counts.update(_calls(body))
        return counts

    def details(self, body: Body) -> Details:
        """The statements, the files opened, and each function's bytecodes."""
        self._things = {"SQL statements": Counter(), "files opened": Counter()}
        try:
            self._effects(body)
            found: Details = {kind: dict(seen) for kind, seen in self._things.items()}
        finally:
            self._things = {}
        by_code: Counter[CodeType] = Counter()
        _bytecodes(body, by_code)
        functions: Counter[str] = Counter()
        for code, count in by_code.items():
            functions[_function(code)] += count
        found["bytecodes by function"] = dict(functions.most_common(LARGEST))
        return found

    def _effects(self, body: Body) -> dict[str, int]:
        body.fresh()
        self._seen.clear()
        with _fsyncs(self._fsync_log, self._seen):
            self._on = True
            try:
                body.after()
            finally:
                self._on = False
        names = {*_EVENTS.values(), "statements", "steps", "commits", "synchronous"}
        if self._fsync_log is not None:
            names.add("fsyncs")
        return {name: self._seen[name] for name in sorted(names)}

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._on and event in _EVENTS:
            self._seen[_EVENTS[event]] += 1
            if event == "open" and self._things:
                self._things["files opened"][os.path.basename(str(arguments[0]))] += 1

    def _wrap_spawn(self) -> None:
        """Watch `multiprocessing`'s way to start a process, which raises no audit event."""
        try:
            import _posixsubprocess
        except ImportError:  # Windows
            return
        fork_exec = _posixsubprocess.fork_exec

        @functools.wraps(fork_exec)
        def watched(*arguments: Any) -> int:
            if self._on:
                self._seen["processes"] += 1
            return fork_exec(*arguments)

        vars(_posixsubprocess)["fork_exec"] = watched

    def _wrap_connect(self) -> None:
        """Watch every connection. (At the audit event of a connection it cannot be used yet.)"""
        connect = sqlite3.connect

        @functools.wraps(connect)
        def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            self._watch(connection)
            return connection

        for module in (sqlite3, dbapi2):
            vars(module)["connect"] = watched

    def _watch(self, connection: sqlite3.Connection) -> None:
        """Follow a connection, without a reference that would keep it open."""
        inside = False  # a transaction
        strict = _SYNCHRONOUS["FULL"]

        def statement(text: str) -> None:
            nonlocal inside, strict
            words = text.upper().rstrip("; ").split()
            first = words[0] if words else ""
            if self._on:
                self._seen["statements"] += 1
                if self._things:
                    self._things["SQL statements"][_without_values(text)] += 1
                if first in {"COMMIT", "END"} or not (inside or first in _READ_ONLY):
                    self._seen["commits"] += 1
                    self._seen["synchronous"] += strict
            if first == "PRAGMA" and (found := _SETS_SYNCHRONOUS.match(text)):
                strict = _synchronous(found[1], strict)
            if first in {"BEGIN", "COMMIT", "END"} or (first == "ROLLBACK" and "TO" not in words):
                inside = first == "BEGIN"

        def step() -> int:
            if self._on:
                self._seen["steps"] += 1
            return 0

        connection.set_trace_callback(statement)
        connection.set_progress_handler(step, 1)


@contextlib.contextmanager
def _fsyncs(log: Path | None, seen: Counter[str]) -> Iterator[None]:
    """Count the fsyncs strace sees between two markers."""
    if log is None:
        yield
        return
    _mark()
    start = log.stat().st_size
    yield
    _mark()
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").splitlines()
    if not any(f"({_MARKER_FD})" in line for line in lines):
        raise NotMeasuredError("strace did not log the marker: fsyncs were not counted")
    # A call that blocks is split in two lines; the first half ends in "<unfinished ...>".
    calls = [line for line in lines if "sync" in line and "resumed>" not in line]
    seen["fsyncs"] = sum(f"({_MARKER_FD})" not in line for line in calls)


def _synchronous(setting: str, before: int) -> int:
    """What SQLite makes of a setting's word or number."""
    if setting.isdecimal():
        return min(int(setting), _SYNCHRONOUS["EXTRA"])
    return _SYNCHRONOUS.get(setting.upper(), before)


def _mark() -> None:
    with contextlib.suppress(OSError):
        os.fsync(_MARKER_FD)


def identity() -> str:
    """What counts depend on besides Python and packages: the way of counting."""
    how = "monitoring" if sys.version_info >= (3, 12) else "settrace"
    return f"{VERSION} {how}"


def _without_values(statement: str) -> str:
    """SQLite reports a statement with its values in it: the same statement, whatever they are."""
    text = re.sub(r"[xX]?'(?:[^']|'')*'", "?", " ".join(statement.split()))
    text = re.sub(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", "?", text)
    return re.sub(r"\?(?:, ?\?)+", "?, ...", text)


def _function(code: CodeType) -> str:
    """A function's name for people: module file and qualified name, no folders."""
    file = Path(code.co_filename)
    place = f"{file.parent.name}/{file.name}" if file.suffix == ".py" else file.name
    return f"{code.co_qualname} ({place})"


def _bytecodes(body: Body, by_code: Counter[CodeType] | None = None) -> int:
    """How many bytecodes; with `by_code`, of which code object each."""
    body.fresh()
    if sys.version_info >= (3, 12):
        return _monitored(body.after, by_code)
    return _traced(body.after, by_code)


def _traced(call: Callable[[], Any], by_code: Counter[CodeType] | None) -> int:
    count = 0

    def inner(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if event == "opcode":
            count += 1
            if by_code is not None:
                by_code[frame.f_code] += 1
        return inner

    def outer(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename == __file__:  # SQLite's callbacks into this module
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return inner

    previous = sys.gettrace()
    sys.settrace(outer)
    try:
        call()
    finally:
        sys.settrace(previous)
    return count


def _monitored(call: Callable[[], Any], by_code: Counter[CodeType] | None) -> int:
    monitoring = getattr(sys, "monitoring")  # noqa: B009 - absent from the 3.11 that mypy checks
    tool, count = monitoring.PROFILER_ID, 0

    def instruction(code: CodeType, offset: int) -> Any:
        nonlocal count
        if code.co_filename == __file__:
            return monitoring.DISABLE
        count += 1
        if by_code is not None:
            by_code[code] += 1
        return None

    monitoring.use_tool_id(tool, "gate")
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, instruction)
    monitoring.set_events(tool, monitoring.events.INSTRUCTION)
    try:
        call()
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    return count


def _calls(body: Body) -> dict[str, int]:
    body.fresh()
    seen = Counter({"python_calls": 0, "c_calls": 0})

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_filename == __file__:
            return
        if event == "call":
            seen["python_calls"] += 1
        elif event == "c_call":
            seen["c_calls"] += 1

    after = body.after
    sys.setprofile(profile)
    try:
        after()
    finally:
        sys.setprofile(None)
    return dict(seen)
