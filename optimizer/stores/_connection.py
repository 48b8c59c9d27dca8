"""One kept SQLite connection per thread, safe across fork, with named durability.

Two facts about SQLite shape this file.

- Opening a connection costs more than a short transaction, and PRAGMAs are lost with it. So each
  thread keeps one, for as long as the thread lives.
- POSIX locks are not inherited by fork, but SQLite's notes about them are. A child that opens even
  a fresh connection, while one to the same file was inherited, holds no lock in truth: when the
  parent closes, the log the child writes to is deleted, and the child's rows are lost. So every
  connection is closed just before a fork and opened again, on both sides, when it is next needed.
"""

from __future__ import annotations

import operator
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from typing import Any

from optimizer.errors import StoreArgumentError, StoreError, StorePathError
from optimizer.stores import _faults, _schema
from optimizer.stores._arguments import absolute, seconds

CACHE_BYTES = 10 * 1024 * 1024

DURABILITIES = {
    "process": "NORMAL",  # survives kill -9; a power cut may take the last transactions
    "power": "FULL",  # survives a power cut: every commit waits for the disk
}
"""Name -> SQLite's `synchronous` in WAL mode."""

Values = Sequence[Any]


class _Life:
    """What all connections of one database share: why it ended, if it has."""

    __slots__ = ("ended", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.ended = ""


class _Kept:
    """A thread's connection; opened when first needed, closed when the thread ends."""

    __slots__ = ("__weakref__", "life", "lock", "opened", "raw", "thread")

    def __init__(self, life: _Life) -> None:
        self.life = life
        self.lock = threading.Lock()  # held while the connection is in use
        self.raw: sqlite3.Connection | None = None
        self.opened = 0  # times
        self.thread = threading.get_ident()
        with _registry_lock:
            _registry.add(self)

    def close(self) -> None:
        raw, self.raw = self.raw, None
        if raw is not None:
            raw.close()

    def __del__(self) -> None:
        self.close()


class _PerThread(threading.local):
    """`kept` is another object in every thread."""

    def __init__(self, life: _Life, everyone: weakref.WeakSet[_Kept]) -> None:
        self.kept = _Kept(life)
        with _registry_lock:
            everyone.add(self.kept)


class _Shared:
    """`kept` is one object for all threads."""

    def __init__(self, life: _Life, everyone: weakref.WeakSet[_Kept]) -> None:
        self.kept = _Kept(life)
        self.kept.thread = -1  # nobody's: a fork waits for a call under way, whoever made it
        with _registry_lock:
            everyone.add(self.kept)


_registry_lock = threading.Lock()
_registry: weakref.WeakSet[_Kept] = weakref.WeakSet()
_fork_waits = False  # a fork stands in line; locks are not fair, so busy threads must let it pass
_unlock = operator.methodcaller("release")


class _Fork(threading.local):
    """The locks that the fork of this thread goes for, in order, and whether it got each.

    CPython drops an exception raised in a hook (Ctrl-C) and forks all the same. So a lock is named
    before it is tried, and taken and noted by one call in C, which no interrupt can split.
    """

    def __init__(self) -> None:
        self.locks: list[threading.Lock] = []  # the first is the registry's
        self.taken: list[bool] = []  # may lack the last
        self.held: Iterator[threading.Lock] | None = None  # those still to be released

    def take(self, lock: threading.Lock, wait_s: float) -> bool:
        self.locks.append(lock)
        self.taken.extend(map(lock.acquire, (True,), (wait_s,)))
        return self.taken[-1]


_fork = _Fork()


def _before_fork() -> None:
    global _fork_waits  # noqa: PLW0603 - a fork is an event of the whole process
    _fork.take(_registry_lock, -1.0)
    _fork_waits = True
    me = threading.get_ident()
    for kept in list(_registry):
        # A call in another thread is waited for. One in this thread (a signal handler forks) cannot
        # be; its connection is given up in the child.
        if _fork.take(kept.lock, 0.0 if kept.thread == me else kept.life.timeout_s + 1.0):
            kept.close()


def _release_after_fork() -> None:
    """Release what the fork holds; called again, it finishes what an interrupt left undone."""
    global _fork_waits  # noqa: PLW0603 - see above
    if any(_fork.taken[:1]):
        _fork_waits = False
    if _fork.held is None:
        _fork.held = compress(_fork.locks, _fork.taken)
    any(map(_unlock, _fork.held))  # one call in C
    _fork.locks, _fork.taken = [], []
    _fork.held = None


def _after_fork_in_child() -> None:
    global _fork_waits, _registry_lock  # noqa: PLW0603 - see above
    _fork_waits = False
    if not any(_fork.taken[:1]):
        _registry_lock = threading.Lock()  # another thread may have held it
    ours = {id(lock) for lock in compress(_fork.locks, _fork.taken)}
    # However far the hook came before the fork: all that is still open, or in use, is the parent's.
    for kept in list(_registry):
        if kept.raw is not None or (kept.lock.locked() and id(kept.lock) not in ours):
            _forget(kept)
    _release_after_fork()


def _let_fork_pass(kept: _Kept) -> None:
    kept.lock.release()
    try:
        with _registry_lock:  # held by the forking thread until the fork is done
            pass
    finally:
        kept.lock.acquire()


def _forget(kept: _Kept) -> None:
    """Give up an inherited connection without closing it, which would touch the parent's locks."""
    raw, kept.raw = kept.raw, None
    kept.lock = threading.Lock()
    kept.life.ended = (
        "this process was forked in the middle of one of its calls, or its fork was interrupted"
    )
    if raw is not None:
        import ctypes  # only ever needed here

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(raw))  # never freed, so never closed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_release_after_fork,
        after_in_child=_after_fork_in_child,
    )
    # Once more, for the case that an interrupt ended the first call.
    os.register_at_fork(after_in_parent=_release_after_fork, after_in_child=_after_fork_in_child)


class Database:
    """A store file, used by many threads and processes at once.

    Every method may be called from any thread. Every error is a `StoreError`, and what the failed
    call did is undone.

    Parameters
    ----------
    path
        The file; created with its schema if it is not there or has no bytes at all. (An empty
        file is what a process leaves that is killed just before it creates the schema.)
    durability
        A key of `DURABILITIES`.
    timeout_s
        How long a call waits for a lock before it gives up, in seconds.
    """

    _connections: type[_PerThread | _Shared] = _PerThread

    def __init__(
        self, path: str | os.PathLike[str], *, durability: str = "process", timeout_s: float = 10.0
    ) -> None:
        self.path = absolute(path)
        self.durability = durability
        self.timeout_s = seconds(timeout_s)
        if durability not in DURABILITIES:
            raise StoreArgumentError(
                f"unknown durability {durability!r}, expected one of"
                f" {', '.join(map(repr, DURABILITIES))}: 'process' survives a killed process,"
                " 'power' also a power cut."
            )
        self._life = _Life(self.timeout_s)
        self._everyone: weakref.WeakSet[_Kept] = weakref.WeakSet()
        self._here = self._connections(self._life, self._everyone)
        self._file: tuple[int, int] | None = None  # device and inode, once opened
        kept = self._here.kept
        with kept.lock:
            self._open(kept)

    def fetch(self, sql: str, values: Values = ()) -> list[Any]:
        """All rows of one statement. Cost: the statement."""
        kept = self._here.kept
        with kept.lock:
            try:
                return self._ready(kept).execute(sql, values).fetchall()
            except _faults.SQLITE_ERRORS as error:
                raise self._error(error) from error

    def version(self) -> tuple[int, int, int]:
        """Equal to what this thread got before only if the file is as it was then.

        It differs after a commit of anyone else, a change of this thread's, or a new connection.
        Cost: one statement that reads no table.
        """
        kept = self._here.kept
        with kept.lock:
            try:
                raw = self._ready(kept)
                ((version,),) = raw.execute("PRAGMA data_version").fetchall()
                return kept.opened, version, raw.total_changes
            except _faults.SQLITE_ERRORS as error:
                raise self._error(error) from error

    def change(self, sql: str, values: Values = ()) -> int:
        """Run one writing statement as its own transaction; how many rows it changed.

        A lone statement is atomic, and waits for the write lock like `BEGIN IMMEDIATE` does: with
        no transaction open, SQLite drops its read lock and tries anew until the time-out.
        """
        kept = self._here.kept
        with kept.lock:
            try:
                return self._ready(kept).execute(sql, values).rowcount
            except _faults.SQLITE_ERRORS as error:
                raise self._error(error) from error

    def change_many(self, sql: str, rows: Iterable[Values]) -> int:
        """Run a writing statement for every row in one transaction; how many rows it changed.

        Cost: one statement per row, prepared once, and two around them. `rows` must not use this
        database.
        """
        with self.transaction() as raw:
            return raw.executemany(sql, rows).rowcount

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The thread's connection, holding the write lock; commits, or undoes everything.

        Whatever ends the block early (an interrupt too) undoes it. The block must not use this
        database in another way.
        """
        kept = self._here.kept
        with kept.lock:
            raw = None
            try:
                raw = self._ready(kept)
                raw.execute("BEGIN IMMEDIATE")
                yield raw
                if kept.raw is not raw:
                    raise _faults.closed(self.path, self._life.ended)
                raw.execute("COMMIT")
            except BaseException as error:
                # In a child forked inside the block, the connection is the parent's: hands off.
                if raw is not None and kept.raw is raw and raw.in_transaction:
                    raw.rollback()
                if isinstance(error, _faults.SQLITE_ERRORS):
                    raise self._error(error) from error
                raise

    def check(self) -> None:
        """Raise StoreCorruptError unless the file is whole. Cost: reads the whole file."""
        kept = self._here.kept
        with kept.lock:
            try:
                _schema.check(self._ready(kept), self.path)
            except _faults.SQLITE_ERRORS as error:
                raise self._error(error) from error

    def close(self) -> None:
        """Close the connections of all threads, each after its call under way; may be repeated."""
        self._life.ended = self._life.ended or "it was closed"
        with _registry_lock:
            everyone = list(self._everyone)
        for kept in everyone:
            with kept.lock:
                kept.close()

    def _ready(self, kept: _Kept) -> sqlite3.Connection:
        if _fork_waits:
            _let_fork_pass(kept)
        raw = kept.raw
        if raw is None:
            return self._open(kept)
        if raw.in_transaction:
            # An interrupt came between an error and its rollback. Nothing of it was acknowledged.
            raw.rollback()
        return raw

    def _open(self, kept: _Kept) -> sqlite3.Connection:
        if self._life.ended:
            raise _faults.closed(self.path, self._life.ended)
        _faults.require_usable(self.path)
        first = self._file is None
        if first:
            _schema.inspect(self.path, self.timeout_s)
        else:
            self._require_same_file()
        try:
            raw = self._connect("mode=rwc" if first else "mode=rw")
        except _faults.SQLITE_ERRORS as error:
            raise self._error(error) from error
        try:
            found = os.stat(self.path)
        except OSError as error:
            raw.close()
            raise StorePathError(
                f"{self.path!r} was deleted or moved while it was opened ({error.strerror})."
                " Expected the file to stay in place; open a new store to begin anew."
            ) from None
        self._file = (found.st_dev, found.st_ino)
        kept.raw = raw
        kept.opened += 1
        return raw

    def _connect(self, mode: str) -> sqlite3.Connection:
        raw = sqlite3.connect(
            _schema.file_uri(self.path, mode),
            uri=True,
            timeout=self.timeout_s,
            isolation_level=None,  # transactions begin and end where we say
            check_same_thread=False,  # closed by whoever closes the database
        )
        try:
            raw.execute(f"PRAGMA cache_size = {-CACHE_BYTES // 1024}")  # negative: in KiB
            _schema.prepare(raw, self.path, self.timeout_s)
            raw.execute(f"PRAGMA synchronous = {DURABILITIES[self.durability]}")
            if self.durability == "power":
                raw.execute("PRAGMA fullfsync = ON")  # macOS: past the disk's own cache
        except BaseException:
            raw.close()
            raise
        return raw

    def _require_same_file(self) -> None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise StorePathError(
                f"{self.path!r} was deleted or moved while it was open. Expected the file to stay"
                " in place; open a new store to begin anew."
            ) from None
        if (found.st_dev, found.st_ino) != self._file:
            raise StorePathError(
                f"{self.path!r} was replaced by another file while it was open. Expected the file"
                " to stay in place; open a new store to use the new one."
            )

    def _error(self, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
        return _faults.translate(error, self.path, self.timeout_s)
