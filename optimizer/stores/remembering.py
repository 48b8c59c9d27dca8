"""RememberingGuard: a NoDupeGuard that answers again from memory while the file is as it was."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

from optimizer.errors import StoreArgumentError
from optimizer.protocols import Signature
from optimizer.stores._connection import Database
from optimizer.stores.guard import NoDupeGuard, require_signatures

__all__ = ["RememberingGuard"]


class _Memory(threading.local):
    """What a thread knows, and the state of the file in which it is true."""

    version: tuple[int, int, int] | None = None

    def __init__(self) -> None:
        self.answers: dict[Signature, bool] = {}


class RememberingGuard(NoDupeGuard):
    """A guard that remembers its answers; all promises of `NoDupeGuard` hold.

    Every call first asks SQLite whether anyone has changed the file, by one statement that reads
    no table. If so, everything is forgotten: an answer never contradicts what another process has
    committed before the call. What this thread adds itself is kept in mind. So it pays where
    lookups are many and other writers few; under steady writes of others it is a plain guard.

    Parameters
    ----------
    remember : int
        Signatures kept in mind at most, by each thread; beyond, all are forgotten.
    path, study, durability, timeout_s
        As for `NoDupeGuard`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Database,
        *,
        study: str = "default",
        remember: int = 100_000,
        durability: str = "process",
        timeout_s: float = 10.0,
    ) -> None:
        if isinstance(remember, bool) or not isinstance(remember, int) or remember < 1:
            raise StoreArgumentError(f"remember is {remember!r}, expected an integer of at least 1")
        self._remember = remember
        self._memory = _Memory()
        super().__init__(path, study=study, durability=durability, timeout_s=timeout_s)

    def seen(self, signature: Signature) -> bool:
        """Whether the signature was added before, by any process. Cost: as `seen_batch`."""
        return self.seen_batch([signature])[0]

    def seen_batch(self, signatures: Iterable[Signature]) -> list[bool]:
        """`seen` of each, in order.

        Cost: one statement that reads no table, and a query per 500 that are not in mind.
        """
        answers = self._answers()
        wanted = signatures if isinstance(signatures, (list, bytes)) else list(signatures)
        try:
            found = list(map(answers.get, wanted))  # what is in mind is a signature
        except TypeError:  # what has no hash is none
            found = [None]
        if None in found:
            wanted = require_signatures(wanted)
            unknown = list(dict.fromkeys(s for s in wanted if s not in answers))
            # True of a moment after the version was read: a commit between shows in the next one.
            answers.update(zip(unknown, super().seen_batch(unknown), strict=True))
            found = list(map(answers.get, wanted))
            self._bound()
        return found  # type: ignore[return-value]  # no None is left

    def add(self, signature: Signature) -> bool:
        """Add it; True if it was new. Cost: one statement, and two that read no table."""
        self._answers()
        new = super().add(signature)
        self._keep([signature])
        return new

    def add_batch(self, signatures: Iterable[Signature]) -> int:
        """Add all or none; how many were new. Cost: as `NoDupeGuard`, and two small statements."""
        wanted = require_signatures(signatures)
        self._answers()
        new = super().add_batch(wanted)
        self._keep(wanted)
        return new

    def _answers(self) -> dict[Signature, bool]:
        """What is in mind, if the file is as it was then; else nothing."""
        memory, version = self._memory, self._database.version()
        if version != memory.version:
            memory.answers.clear()
            memory.version = version
        return memory.answers

    def _keep(self, added: list[Signature]) -> None:
        """Keep in mind what this thread added, if nobody else wrote since `_answers`."""
        memory, version = self._memory, self._database.version()
        if memory.version is None or version[:2] != memory.version[:2]:
            return
        memory.version = version
        memory.answers.update(dict.fromkeys(added, True))
        self._bound()

    def _bound(self) -> None:
        if len(self._memory.answers) > self._remember:
            self._memory.answers.clear()

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "remember": self._remember}
