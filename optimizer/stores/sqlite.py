"""SqliteStore: everything one study keeps, in one SQLite file."""

from __future__ import annotations

import os
import weakref
from typing import Any

from optimizer.space import SearchSpace
from optimizer.stores import _rows
from optimizer.stores._connection import Database
from optimizer.stores._entries import require_whole
from optimizer.stores._part import Part
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache, _require_fingerprint
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.named_values import NamedValues
from optimizer.stores.records import TrialRecords

__all__ = ["SqliteStore"]


class SqliteStore(Part):
    """The store contract (`optimizer.protocols.Store`) behind SQLite.

    Its parts are those that can be opened alone on the same file; here they share connections, one
    per thread. What one call records (a value and its trial) is one transaction.

    Durability, threads, processes, forks, pickling and errors of the file: as `NoDupeGuard`.

    Parameters
    ----------
    path : str or os.PathLike
        The file; created if it is not there.
    study : str
        The study; any text that is not empty.
    space : SearchSpace, optional
        The space that parameters are signed by.
    durability, timeout_s
        As for `NoDupeGuard`.

    Examples
    --------
    >>> import tempfile
    >>> from optimizer.protocols import Trial
    >>> folder = tempfile.TemporaryDirectory()
    >>> with SqliteStore(folder.name + "/study.db", study="momentum") as store:
    ...     claims = store.claims(bytes(16))
    ...     mine = claims.claim({"x": 1})
    ...     trial = Trial(0, "complete", {"x": 1}, (0.5,))
    ...     claims.fulfil(mine, 0.5, trial=trial).value, store.trials.load()[0].values
    (0.5, (0.5,))
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Database,
        *,
        study: str = "default",
        space: SearchSpace | None = None,
        durability: str = "process",
        timeout_s: float = 10.0,
    ) -> None:
        super().__init__(path, study=study, durability=durability, timeout_s=timeout_s)
        self.space = space
        self.signatures = NoDupeGuard(self._database, study=study)
        self.trials = TrialRecords(self._database, study=study)
        self.metadata = NamedValues(self._database, study=study)
        self._caches: weakref.WeakSet[EvaluationCache] = weakref.WeakSet()

    def evaluations(
        self,
        fingerprint: bytes,
        *,
        maxsize: int | None = None,
        ttl_s: float | None = None,
        front: int = 10_000,
    ) -> EvaluationCache:
        """The evaluations of the objective and data of this fingerprint. Cost: two queries."""
        cache = EvaluationCache(
            self._database,
            fingerprint,
            study=self.study,
            space=self.space,
            maxsize=maxsize,
            ttl_s=ttl_s,
            front=front,
        )
        self._caches.add(cache)
        return cache

    def claims(
        self,
        fingerprint: bytes,
        *,
        maxsize: int | None = None,
        ttl_s: float | None = None,
        lease_s: float = 60.0,
    ) -> Claims:
        """The claims on the parameters of this fingerprint. Cost: two queries."""
        cache = self.evaluations(fingerprint, maxsize=maxsize, ttl_s=ttl_s)
        return Claims(cache, lease_s=lease_s)

    def forget_others(self, keep: bytes, *keep_too: bytes) -> int:
        """Remove this study's evaluations of all fingerprints but these; how many there were.

        For data that change daily, whose old evaluations nobody will ask for again: the file does
        not shrink, but what is stored next takes their room. Of each fingerprint stays that it was
        there, some 60 bytes, and the claims that somebody holds; who still works under one of them
        goes on, with nothing found. Signatures, trials, metadata and other studies stay.

        Cost: one transaction that reads all it removes, and two statements per fingerprint.

        Raises
        ------
        EvaluationError
            What is to be kept is no fingerprint.
        """
        kept = {_require_fingerprint(fingerprint) for fingerprint in (keep, *keep_too)}
        with self._database.transaction() as raw:
            return _rows.forget_others(raw, self._study_id, kept)

    def check(self) -> None:
        """Raise StoreCorruptError unless the file and everything in it are whole.

        Cost: reads the whole file, several times.
        """
        self.signatures.check()
        require_whole(self._database)
        self.trials.check()
        self.metadata.all()

    def close(self) -> None:
        """Write the uses of the caches it gave out, then close; may be repeated."""
        for cache in list(self._caches):
            cache.close()
        super().close()

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "space": self.space}
