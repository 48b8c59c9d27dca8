"""Values that outlive a study: the evaluation cache of its store file, if it has one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any

from optimizer.errors import ClaimLostError, StoreError
from optimizer.protocols import Busy, Claim, Evaluation, Signature
from optimizer.space import SearchSpace
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.optuna_storage import SQLiteStorage
from optimizer.study.jobs import Job


class NoEvaluations:
    """Nothing is kept beside the trials themselves."""

    def look(self, signature: Signature) -> Evaluation | Claim | Busy | None:
        """What is known of a point elsewhere: nothing."""
        return None

    def announce(self, job: Job) -> None:
        """The trial is about to be told its values."""

    def dispute(self, job: Job, error: ClaimLostError) -> Evaluation | None:
        """The value that somebody else stored meanwhile."""
        raise error

    def release(self, job: Job) -> None:
        """The trial ends without a value."""

    def keep_alive(self, job: Job) -> None:
        """Renew the claim of a job until it ends."""

    def clear_memory(self) -> None:
        """Forget what is kept in memory."""

    def close(self) -> None:
        """Close what was opened."""


class StoredEvaluations(NoEvaluations):
    """An EvaluationCache in the file of the study's own storage.

    The value of a trial and its end are one transaction. In a finite space the claim belongs to it
    too, so of all processes that work on the study one evaluates a point; in a space with no end
    of points two processes hardly ever meet, and nothing is claimed.

    Args:
        storage: of the study.
        study: its name.
        fingerprint: of the objective and its data.
        space: that points are signed by.
        claimed: whether points are claimed.
        maxsize, ttl_s: as for the cache.
    """

    def __init__(
        self,
        storage: SQLiteStorage,
        study: str,
        fingerprint: bytes,
        *,
        space: SearchSpace | None,
        claimed: bool,
        maxsize: int | None = None,
        ttl_s: float | None = None,
    ) -> None:
        self._storage = storage
        self._cache = EvaluationCache(
            storage.path,
            fingerprint,
            study=study,
            space=space,
            maxsize=maxsize,
            ttl_s=ttl_s,
            durability="process" if storage._durability == "batch" else storage._durability,
        )
        self._claims = Claims(self._cache) if claimed else None
        self._asked = True
        self._beating: dict[int, AbstractContextManager[Any]] = {}

    def compare(self, known: Iterable[Signature]) -> None:
        """Find out whether the cache has values that the study has not: else nobody need ask it.

        Values that other processes add belong to trials of the study, which are looked at anyway.
        Cost: one query; where their numbers differ, one per 500 points of the study.
        """
        points, entries = list(known), len(self._cache)
        if self._claims is None and entries and entries != len(points):
            there = sum(found is not None for found in self._cache.get_batch(points))
            self._asked = entries > there
        else:
            self._asked = False

    def look(self, signature: Signature) -> Evaluation | Claim | Busy | None:
        """The value, or the right to evaluate, or who does; None where nothing is claimed."""
        if self._claims is None:
            return self._cache.get(signature) if self._asked else None
        return self._claims.claim(signature)

    def keep_alive(self, job: Job) -> None:
        """Renew the claim of a job until it ends."""
        if self._claims is not None and job.claim is not None:
            beating = self._claims._heartbeat.beating(job.claim)
            beating.__enter__()
            self._beating[job.number] = beating

    def announce(self, job: Job) -> None:
        """Have the values stored with the end of the trial."""
        self._rest(job)
        if job.signature is None:
            return
        if self._claims is not None and job.claim is not None:
            self._storage.record_at_end(job.trial_id, self._claims, job.claim)
        else:
            self._storage.record_at_end(job.trial_id, self._cache, job.signature)

    def dispute(self, job: Job, error: ClaimLostError) -> Evaluation | None:
        """The value that somebody else stored meanwhile; None if ours may be stored after all."""
        assert job.signature is not None  # it was claimed
        job.claim = None
        found = self._cache.get(job.signature)
        if found is None:
            self._storage.record_at_end(job.trial_id, self._cache, job.signature)
        return found

    def release(self, job: Job) -> None:
        """Let others evaluate the point."""
        self._rest(job)
        if self._claims is not None and job.claim is not None:
            with suppress(StoreError):  # then its lease ends it
                self._claims.release(job.claim)
            job.claim = None

    def clear_memory(self) -> None:
        """Forget what the cache keeps in memory; the file has it."""
        if self._cache._front is not None:
            self._cache._front.clear()

    def close(self) -> None:
        """Close the cache."""
        for beating in self._beating.values():
            beating.__exit__(None, None, None)
        self._beating.clear()
        self._cache.close()

    def _rest(self, job: Job) -> None:
        beating = self._beating.pop(job.number, None)
        if beating is not None:
            beating.__exit__(None, None, None)
