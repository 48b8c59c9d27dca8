"""Worker processes that stay from one call of `optimize` to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from optimizer.errors import FingerprintError, StudyArgumentError, WorkerError
from optimizer.stores._closing import Closing
from optimizer.stores.fingerprint import fingerprint
from optimizer.study.remote import RemoteObjective
from optimizer.workers import frames
from optimizer.workers.pool import WorkerPool


class Workers(Closing):
    """Worker processes for `optimize(workers=...)` that stay when a study is over.

    A process takes long to start beside a short study: it imports and compiles all over again. The
    first study that needs these workers starts them; a later one of the same objective and data
    finds them warm. Another objective, one whose source or closure changed, other data or another
    time-out start them anew, and so does what has no fingerprint. What lies outside of all that,
    environment variables and the working directory, is as it was when they started.

    Promises: one study at a time; no process is left after `close`, or after this process.

    Cost: beside that of the processes, at each study a fingerprint of objective and data, which
    reads both once, and a pickle of the objective.

    Args:
        count: how many processes; None for one for each core. A mode may use fewer.

    Raises:
        StudyArgumentError: another count.

    Example:
        >>> import optimizer
        >>> space = {"x": {"type": "float", "min": -5, "max": 5}}
        >>> with optimizer.Workers(2) as workers:
        ...     found = [
        ...         optimizer.optimize(lambda p: p["x"] ** 2, space, n_trials=5, workers=workers)
        ...         for _ in range(2)
        ...     ]
        >>> [result.run.trials for result in found]
        [5, 5]
    """

    def __init__(self, count: int | None = None) -> None:
        if count is not None and (type(count) is not int or count < 1):
            raise StudyArgumentError(
                f"found {count!r} workers, expected an integer of at least 1, or None for one for "
                "each core."
            )
        self.count = count
        self._pool: WorkerPool | None = None
        self._key: Hashable = None
        self._is_lent = False

    def lend(
        self,
        function: RemoteObjective,
        workers: int,
        data: Mapping[str, Any] | None,
        *,
        warm_up: Callable[[Mapping[str, Any]], None] | None,
        timeout_s: float | None,
        retries: int,
    ) -> WorkerPool:
        """The pool that calls this function, for one study: the one that is there, or a new one.

        Raises:
            StudyArgumentError: another study has it.
        """
        if self._is_lent:
            raise StudyArgumentError(
                "found Workers that another study is using, expected one study at a time: give "
                "each its own."
            )
        key = _key(function, workers, data, warm_up, timeout_s, retries)
        if self._pool is None or key is None or key != self._key or not self._pool.is_open:
            self.close()
            self._pool = WorkerPool(
                function,
                workers=workers,
                data=data,
                warm_up=warm_up,
                timeout_s=timeout_s,
                retries=retries,
            )
            self._key = key
        self._is_lent = True
        return self._pool

    def take_back(self, longest_s: float) -> None:
        """The study is over; workers that still run a trial of it are ended, all with them."""
        self._is_lent = False
        if self._pool is not None and (self._key is None or self._pool.is_busy):
            self._pool.close(longest_s)
            self._pool = None

    def close(self) -> None:
        """End the processes; may be repeated. A later study starts new ones."""
        pool, self._pool = self._pool, None
        self._is_lent = False
        if pool is not None:
            pool.close()


def _key(
    function: RemoteObjective,
    workers: int,
    data: Mapping[str, Any] | None,
    warm_up: Callable[[Mapping[str, Any]], None] | None,
    timeout_s: float | None,
    retries: int,
) -> Hashable:
    """Equal where the same workers may be used; None where nothing tells.

    New workers would get the function as it is pickled, which of one in a module is its name: what
    the module says is in the fingerprint.
    """
    try:
        found = fingerprint(function.objective, data)
        warms = None if warm_up is None else fingerprint(warm_up)
        packed = frames.pack_named((function, warm_up), "the objective")
    except (FingerprintError, WorkerError):
        return None
    return (found, warms, hashlib.blake2b(packed).digest(), workers, timeout_s, retries)
