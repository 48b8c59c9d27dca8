"""The plain twins of `optimizer.stores.guard.NoDupeGuard`: a set, and the reports' own guard."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing

from optimizer.protocols import Signature


class SetGuard:
    """What a guard of one study means, as a set in memory: the oracle of the tests."""

    def __init__(self) -> None:
        self._known: set[Signature] = set()

    def seen(self, signature: Signature) -> bool:
        """Whether the signature was added before."""
        return signature in self._known

    def add(self, signature: Signature) -> bool:
        """Add it; True if it was new."""
        new = signature not in self._known
        self._known.add(signature)
        return new

    def seen_batch(self, signatures: Iterable[Signature]) -> list[bool]:
        """`seen` of each, in order."""
        return [self.seen(signature) for signature in signatures]

    def add_batch(self, signatures: Iterable[Signature]) -> int:
        """Add all; how many were new."""
        return sum([self.add(signature) for signature in signatures])

    def remove(self, signature: Signature) -> bool:
        """Forget it; True if it was there."""
        there = signature in self._known
        self._known.discard(signature)
        return there

    def clear(self) -> int:
        """Forget all; how many there were."""
        count = len(self._known)
        self._known.clear()
        return count

    def check(self) -> None:
        """Nothing can be broken here."""

    def close(self) -> None:
        """Nothing is open here."""

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, signature: Signature) -> bool:
        return self.seen(signature)


class ConnectPerCallGuard:
    """The guard as the reports describe it: reconstructed from the reports, not their code.

    SQLite's defaults (rollback journal, `synchronous=FULL`), a connection and a commit for every
    call, one signature at a time; a batch is a loop. Only the namespace per study is ours, so that
    both sides of a comparison keep the same rows.
    """

    def __init__(self, path: str | os.PathLike[str], *, study: str = "default") -> None:
        self.path = os.fspath(path)
        self.study = study
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS seen"
                " (study TEXT NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (study, signature))"
            )

    def seen(self, signature: Signature) -> bool:
        """Whether the signature was added before. Cost: a connection and a query."""
        with closing(sqlite3.connect(self.path)) as connection:
            query = "SELECT 1 FROM seen WHERE study = ? AND signature = ?"
            return connection.execute(query, (self.study, signature)).fetchone() is not None

    def add(self, signature: Signature) -> bool:
        """Add it; True if it was new. Cost: a connection and a commit."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            insert = "INSERT OR IGNORE INTO seen (study, signature) VALUES (?, ?)"
            return connection.execute(insert, (self.study, signature)).rowcount == 1

    def seen_batch(self, signatures: Iterable[Signature]) -> list[bool]:
        """`seen` of each, in order, one by one."""
        return [self.seen(signature) for signature in signatures]

    def add_batch(self, signatures: Iterable[Signature]) -> int:
        """`add` of each, one by one; how many were new."""
        return sum([self.add(signature) for signature in signatures])

    def remove(self, signature: Signature) -> bool:
        """Forget it; True if it was there. Cost: a connection and a commit."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            delete = "DELETE FROM seen WHERE study = ? AND signature = ?"
            return connection.execute(delete, (self.study, signature)).rowcount == 1

    def clear(self) -> int:
        """Forget all of this study; how many there were. Cost: a connection and a commit."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            delete = "DELETE FROM seen WHERE study = ?"
            return connection.execute(delete, (self.study,)).rowcount

    def close(self) -> None:
        """Nothing stays open between calls."""

    def __len__(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            query = "SELECT count(*) FROM seen WHERE study = ?"
            return int(connection.execute(query, (self.study,)).fetchone()[0])

    def __contains__(self, signature: Signature) -> bool:
        return self.seen(signature)
