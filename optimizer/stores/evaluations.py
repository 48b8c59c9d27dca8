"""EvaluationCache: what the objective returned for which parameters, kept across sessions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from optimizer.caching import LRUCache
from optimizer.errors import EvaluationError, StoreArgumentError, StoreError
from optimizer.protocols import Evaluation, EvaluationCounters, Params, Signature, Trial
from optimizer.signature import SIGNATURE_BYTES
from optimizer.space import SearchSpace
from optimizer.stores import _rows, _schema
from optimizer.stores._arguments import require_positive, signature_of
from optimizer.stores._connection import Database
from optimizer.stores._encoding import UNREADABLE, attributes_text, pack, trial_row, unpack
from optimizer.stores._entries import Entry, evaluations_of, require_whole, unreadable
from optimizer.stores._part import CHUNK, Part
from optimizer.stores._tally import Tally

__all__ = ["EvaluationCache"]

FINGERPRINT_BYTES = 16
_MARGIN_MS = 2  # the front rounds the clock in another way than SQLite; it gives up earlier


class _View(threading.local):
    """The last state of the file that a thread has seen, and the generation it had."""

    version: tuple[int, int, int] | None = None
    generation = -1


class EvaluationCache(Part):
    """Evaluations by parameters, persistent, for any number of threads and processes.

    An evaluation that is stored never changes: a second `put` of the same parameters is refused,
    and all who ask get the same value. It goes when it is older than `ttl_s`, when there are more
    than `maxsize` and it is the one used longest ago, or by `forget` and `clear`. Each fingerprint
    is a namespace of its own, so a changed objective or changed data find nothing old. The old
    ones stay, for the day the data are those of before; `SqliteStore.forget_others` ends that.

    Answers from memory are checked against the file, by one statement per call that reads no table
    (`PRAGMA data_version`): after a commit of anyone else, memory is used only if nothing of this
    namespace has gone. So an answer never contradicts what another process has committed before
    the call.

    Ages go by the database's clock, which for SQLite is the system's; a clock set back makes
    entries live longer. Reading does not make an entry younger, but counts as a use. Uses are
    written with the next `put`, on `close`, and after `uses_per_write` of them; where the file is
    locked, after as many more. So within a process eviction is exactly that of the least recently
    used; between processes it may miss that many.

    Durability, forks, pickling and errors of the file: as `NoDupeGuard`.

    Parameters
    ----------
    path : str or os.PathLike
        The file; created if it is not there.
    fingerprint : bytes
        16 bytes, as `fingerprint(objective, data)` returns.
    study : str
        The study; any text that is not empty.
    space : SearchSpace, optional
        The space that parameters are signed by.
    maxsize : int, optional
        Evaluations kept at most; None for no bound. Of several cache objects on one namespace, the
        smallest bound holds; so for `ttl_s`.
    ttl_s : float, optional
        Seconds an evaluation lives; None for ever.
    front : int
        Evaluations kept in memory at most, 0 for none.
    uses_per_write : int
        See above; 1 writes every use at once. Matters only with `maxsize`.
    durability, timeout_s
        As for `NoDupeGuard`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with EvaluationCache(folder.name + "/study.db", bytes(16)) as cache:
    ...     cache.put({"x": 1}, 2.5), cache.put({"x": 1.0}, 9.9), cache.get({"x": 1}).value
    (True, False, 2.5)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Database,
        fingerprint: bytes,
        *,
        study: str = "default",
        space: SearchSpace | None = None,
        maxsize: int | None = None,
        ttl_s: float | None = None,
        front: int = 10_000,
        uses_per_write: int = 100,
        durability: str = "process",
        timeout_s: float = 10.0,
    ) -> None:
        self.fingerprint = _require_fingerprint(fingerprint)
        self.space = space
        self.maxsize = None if maxsize is None else _require_count("maxsize", maxsize, 1)
        self.ttl_s = None if ttl_s is None else require_positive("ttl_s", ttl_s)
        self._uses_per_write = _require_count("uses_per_write", uses_per_write, 1)
        ttl_ms = None if self.ttl_s is None else max(1, round(1000 * self.ttl_s))
        self._limits = _rows.Limits(self.maxsize, ttl_ms)
        self._front_size = _require_count("front", front, 0)
        self._front: LRUCache[Signature, Entry] | None = LRUCache(front) if front else None
        self._view = _View()
        self._tally = Tally()
        super().__init__(path, study=study, durability=durability, timeout_s=timeout_s)
        try:
            self._namespace = self._resolve_namespace()
        except BaseException:
            if not self._shares:
                self._database.close()
            raise

    def get(self, params: Params | Signature) -> Evaluation | None:
        """The stored evaluation, with attributes of the caller's own; None if there is none.

        Cost: one statement, from memory one that reads no table; every `uses_per_write`-th hit of
        a bounded cache writes.
        """
        (found,) = self._look_up([signature_of(params, self.space)])
        return found

    def get_batch(self, many: Iterable[Params | Signature]) -> list[Evaluation | None]:
        """`get` of each, in order.

        Cost: as `get`, and one statement per 500 that are not in memory. Each query sees one
        moment; another process may write between two of them.
        """
        return self._look_up(
            [
                p if type(p) is bytes and len(p) == SIGNATURE_BYTES else signature_of(p, self.space)
                for p in many
            ]
        )

    def put(
        self,
        params: Params | Signature,
        values: float | Sequence[float],
        attributes: Mapping[str, Any] | None = None,
        *,
        trial: Trial | None = None,
    ) -> bool:
        """Store it, and tell the trial, or neither; True if new, else the stored one stays.

        Cost: one transaction of five statements; up to two more for room and age, one for a trial.

        Raises
        ------
        EvaluationError
            Values or attributes that cannot be kept exactly.
        TrialFinishedError
            The trial's number is finished already.
        """
        row = (signature_of(params, self.space), pack(values), attributes_text(attributes), 1)
        told = None if trial is None else trial_row(self._study_id, trial)
        return self._write([row], told) == 1

    def put_batch(self, pairs: Iterable[tuple[Params | Signature, float | Sequence[float]]]) -> int:
        """`put` of each pair of parameters and values, all or none; how many were new.

        Cost: one transaction, one statement per pair and four more.
        """
        rows = [(signature_of(p, self.space), pack(values), None, 1) for p, values in pairs]
        return self._write(rows, None) if rows else 0

    def forget(self, params: Params | Signature) -> bool:
        """Remove it; True if it was there. Cost: one transaction."""
        signature = signature_of(params, self.space)
        with self._database.transaction() as raw:
            return _rows.remove(raw, self._namespace, signature) == 1

    def clear(self) -> int:
        """Remove all of this namespace; how many there were. Cost: reads them all."""
        with self._database.transaction() as raw:
            return _rows.remove(raw, self._namespace, None)

    def counters(self) -> EvaluationCounters:
        """What this object did; those of other processes are theirs."""
        return self._tally.snapshot()

    def check(self) -> None:
        """Raise StoreCorruptError unless the file and all its evaluations are whole.

        Cost: reads the whole file, all studies.
        """
        super().check()
        require_whole(self._database)
        if self._front is not None:
            self._front.check()

    def close(self) -> None:
        """Write the uses, then close; may be repeated."""
        with suppress(StoreError):  # uses are a courtesy; the file may be gone or closed
            self._write_uses()
        super().close()

    def __len__(self) -> int:
        """How many are not too old. Cost: one query; with `ttl_s` one that reads them all."""
        if self.ttl_s is None:
            ((count,),) = self._database.fetch(_rows.ENTRIES, (self._namespace,))
        else:
            values = (self._namespace, self._limits.age_ms)
            ((count,),) = self._database.fetch(_rows.LIVING, values)
        return int(count)

    def __contains__(self, params: Params | Signature) -> bool:
        """Whether it is there; neither counted nor a use. Cost: one query."""
        return self._peek(signature_of(params, self.space)) is not None

    def _look_up(self, signatures: list[Signature]) -> list[Evaluation | None]:
        entries = self._from_front(signatures)
        missing = [s for s, entry in zip(signatures, entries, strict=True) if entry is None]
        front_hits, misses = len(signatures) - len(missing), 0
        if missing:
            wanted, read = list(dict.fromkeys(missing)), dict[Signature, Entry]()
            for start in range(0, len(wanted), CHUNK):
                read.update(self._read(wanted[start : start + CHUNK]))
            misses = sum(s not in read for s in missing)
            entries = [
                read.get(s) if entry is None else entry
                for s, entry in zip(signatures, entries, strict=True)
            ]
        hits = len(signatures) - misses
        self._tally.count(hits=hits, misses=misses, front_hits=front_hits)
        if self.maxsize is not None and hits:
            used = [s for s, entry in zip(signatures, entries, strict=True) if entry is not None]
            if self._tally.use(used) >= self._uses_per_write:
                with suppress(StoreError):  # locked or full: the answer is right all the same
                    self._write_uses()
        try:
            if misses or hits == 1:
                return [None if entry is None else entry.evaluation() for entry in entries]
            return evaluations_of(entries)
        except UNREADABLE:
            texts = ((s, e and e.attributes) for s, e in zip(signatures, entries, strict=True))
            raise unreadable(self.path, (), texts) from None

    def _from_front(self, signatures: list[Signature]) -> list[Entry | None]:
        """What memory has and still holds, in order."""
        if self._front is None:
            return [None] * len(signatures)
        known = self._front.get_batch(signatures)
        if not any(known):
            return known
        generation = self._generation()
        oldest_ms = -_rows.FOREVER_MS
        if self._limits.ttl_ms is not None:
            oldest_ms = time.time_ns() // 1_000_000 - self._limits.ttl_ms + _MARGIN_MS
        return [
            entry
            if entry is not None and entry.generation == generation and entry.stored_ms > oldest_ms
            else None
            for entry in known
        ]

    def _generation(self) -> int:
        """The generation of the namespace, as of now."""
        view, version = self._view, self._database.version()
        if version != view.version:
            # A commit between the two statements makes the next call ask again.
            rows = self._database.fetch(_rows.GENERATION, (self._namespace,))
            view.generation = rows[0][0] if rows else -1
            view.version = version
        return view.generation

    def _read(self, signatures: list[Signature]) -> dict[Signature, Entry]:
        """Those of at most `CHUNK` that the file has."""
        query = _rows.FIND if len(signatures) == 1 else _rows.find_among(len(signatures))
        rows = self._database.fetch(query, (self._namespace, self._limits.age_ms, *signatures))
        try:
            found = {row[0]: Entry(unpack(row[1]), *row[2:]) for row in rows}
        except UNREADABLE:
            raise unreadable(self.path, (row[:2] for row in rows), ()) from None
        if self._front is not None:
            for signature, entry in found.items():
                self._front.put(signature, entry)
        return found

    def _peek(self, signature: Signature) -> Evaluation | None:
        entry = self._read([signature]).get(signature)
        try:
            return None if entry is None else entry.evaluation()
        except UNREADABLE:
            raise unreadable(self.path, (), [(signature, entry and entry.attributes)]) from None

    def _write(
        self,
        rows: Sequence[_rows.EvaluationRow],
        told: tuple[Any, ...] | None,
        first: Callable[[sqlite3.Connection], None] | None = None,
    ) -> int:
        """One transaction: what `first` does, then evaluations, then a trial; how many were new."""
        uses = self._tally.take_uses()
        try:
            with self._database.transaction() as raw:
                if first is not None:
                    first(raw)
                done = _rows.write(raw, self.path, self._namespace, self._limits, rows, uses)
                if told is not None:
                    _rows.tell(raw, told)
        except BaseException:
            self._tally.give_back(uses)
            raise
        self._tally.count(expirations=done.expired, evictions=done.evicted)
        return done.new

    def _write_uses(self) -> None:
        if self._tally.has_uses():
            self._write([], None)

    def _settings(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            **super()._settings(),
            "space": self.space,
            "maxsize": self.maxsize,
            "ttl_s": self.ttl_s,
            "front": self._front_size,
            "uses_per_write": self._uses_per_write,
        }

    def _resolve_namespace(self) -> int:
        key = (self._study_id, self.fingerprint)
        rows = self._database.fetch(_rows.NAMESPACE, key)
        if not rows:
            self._database.change(_rows.NEW_NAMESPACE, key)
            rows = self._database.fetch(_rows.NAMESPACE, key)
        if not rows:
            raise _schema.damaged(self.path, "a namespace cannot be found by its fingerprint")
        return int(rows[0][0])


def _require_fingerprint(found: object) -> bytes:
    if type(found) is not bytes or len(found) != FINGERPRINT_BYTES:
        raise EvaluationError(
            f"found the fingerprint {found!r}, expected {FINGERPRINT_BYTES} bytes, as"
            " fingerprint(objective, data) returns."
        )
    return found


def _require_count(what: str, found: object, least: int) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or found < least:
        raise StoreArgumentError(f"{what} is {found!r}, expected an integer of at least {least}")
    return found
