"""How many trials a run may start, and until when."""

from __future__ import annotations

import time


class Limits:
    """Counts the trials that are started, from now on.

    Args:
        n_trials: at most so many; None for no limit.
        timeout_s: none after so many seconds; None for no limit.
        kept_back: the last trials, for points that were good on a part of the data.
        spare: how many of the last trials are only run if there is such a point.
    """

    def __init__(
        self,
        n_trials: int | None,
        timeout_s: float | None,
        kept_back: int = 0,
        spare: int = 0,
    ) -> None:
        self._n_trials = n_trials
        self._spare = spare
        self._kept_back = kept_back
        self._started = 0
        self._ends_s = None if timeout_s is None else time.perf_counter() + timeout_s

    def start(self) -> bool:
        """Count a trial; returns whether it is one of those kept back."""
        self._started += 1
        return self._n_trials is not None and self._n_trials - self._started < self._kept_back

    @property
    def is_spare(self) -> bool:
        """Whether the next trial is only run for a point that was good on a part of the data."""
        left = self.left
        return left is not None and left <= self._spare

    @property
    def left(self) -> int | None:
        """Trials that may still be started; None without a limit."""
        return None if self._n_trials is None else self._n_trials - self._started

    @property
    def left_s(self) -> float | None:
        """Seconds in which trials may be started; None without a limit."""
        return None if self._ends_s is None else self._ends_s - time.perf_counter()

    @property
    def are_reached(self) -> bool:
        """Whether no more may be started."""
        if self._n_trials is not None and self._started >= self._n_trials:
            return True
        return self._ends_s is not None and time.perf_counter() >= self._ends_s
