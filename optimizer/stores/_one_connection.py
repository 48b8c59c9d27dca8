"""A database whose threads share one connection, so that others' commits can be told from ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, _GeneratorContextManager, contextmanager

from optimizer.stores import _faults
from optimizer.stores._connection import Database, _Shared

Moment = tuple[int, int]
"""How often the connection was opened, and SQLite's `data_version` of it."""

_VERSION = "PRAGMA data_version"
_LOG_PAGES = 4_000  # before the log is written back: each time waits for the disk, twice


class OneConnection(Database):
    """A `Database` for an owner who keeps in memory what it read, and lets one thread in at a time.

    A connection's `data_version` changes by commits of every other connection and by none of its
    own. With one connection per process it says exactly: somebody else changed the file.
    """

    _connections = _Shared
    _relaxed = False  # does not wait for the disk just now, under "power"

    @property
    def file(self) -> tuple[int, int] | None:
        """Device and inode of the file, once opened."""
        return self._file

    def require_in_place(self) -> None:
        """Raise StorePathError if the file was deleted, moved or replaced since it was opened.

        SQLite would go on writing to a file that has no name any more. Cost: one look at the disk.
        """
        if self._file is not None:
            self._require_same_file()

    def moment(self) -> Moment:
        """Equal to an earlier one only if nobody else committed in between.

        Cost: one statement that reads no table.
        """
        kept = self._here.kept
        with kept.lock:
            try:
                ((version,),) = self._ready(kept).execute(_VERSION).fetchall()
                return kept.opened, version
            except _faults.SQLITE_ERRORS as error:
                raise self._error(error) from error

    def moment_within(self, raw: sqlite3.Connection) -> Moment:
        """`moment`, for the block of a `transaction`."""
        ((version,),) = raw.execute(_VERSION).fetchall()
        return self._here.kept.opened, version

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, with no transaction; each statement sees a moment of its own."""
        kept = self._here.kept
        with kept.lock:
            try:
                yield self._ready(kept)
            except _faults.SQLITE_ERRORS as error:
                raise self._error(error) from error

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """The connection; all statements of the block see one moment. Changes nothing."""
        with self.reading() as raw:
            raw.execute("BEGIN")
            try:
                yield raw
            finally:
                if raw.in_transaction:
                    raw.rollback()

    def transaction_unsynced(self) -> AbstractContextManager[sqlite3.Connection]:
        """`transaction`, without waiting for the disk also under "power".

        A later commit that waits makes this one durable too: the log is one file.
        """
        return self._transaction_at_normal() if self.durability == "power" else self.transaction()

    def transaction(self) -> _GeneratorContextManager[sqlite3.Connection]:
        """As every `Database` has it."""
        if self._relaxed:  # an interrupt came in the way
            self._wait_again()
        return super().transaction()

    @contextmanager
    def _transaction_at_normal(self) -> Iterator[sqlite3.Connection]:
        self._relaxed = True
        with self.reading() as raw:
            raw.execute("PRAGMA synchronous = NORMAL")
        try:
            with super().transaction() as raw:
                yield raw
        finally:
            self._wait_again()

    def _wait_again(self) -> None:
        with self.reading() as raw:
            raw.execute("PRAGMA synchronous = FULL")
        self._relaxed = False

    def _connect(self, mode: str) -> sqlite3.Connection:
        raw = super()._connect(mode)
        try:
            raw.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")  # a constant of ours
        except BaseException:
            raw.close()
            raise
        return raw
