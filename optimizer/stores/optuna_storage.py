"""SQLiteStorage: Optuna's studies in a store file."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from optuna.storages._heartbeat import BaseHeartbeat

from optimizer.errors import StoreArgumentError, StoreClosedError
from optimizer.stores._beats import Beats, StaleCallback
from optimizer.stores._closing import Closing
from optimizer.stores._stored_studies import StoredStudies
from optimizer.stores._stored_trials import StoredTrials

__all__ = ["SQLiteStorage"]

DURABILITIES = ("process", "power", "batch")


class SQLiteStorage(StoredTrials, StoredStudies, BaseHeartbeat, Closing):
    """An Optuna storage in one SQLite file, for any number of threads and processes.

    What a call wrote is visible to every later call of every process, but for the parameters,
    attributes and, under "batch", the end of a running trial: these are written together at the
    next report or at the trial's end, and after `delay_s` at the latest. A waiting trial is popped
    by one worker only; numbers of trials have no holes. What a study holds is kept in memory, and
    trials are made when they are asked for.

    The file is a store as `NoDupeGuard`, `SqliteStore` and the others open it, under the same name
    of the study. `optuna.delete_study` removes what Optuna knows of a study and leaves the rest;
    `python -m optimizer store FILE --drop-study NAME` removes all.

    Parameters
    ----------
    path : str or os.PathLike
        The file; created if it is not there.
    durability : {"process", "power", "batch"}
        What a trial that was told survives. "process": the death of the process, kill -9 included;
        a power cut may take the last seconds. "power": a power cut too; the end of each trial
        waits for the disk. "batch": as "process", but ends of trials, failed ones apart, are
        written with the start of the process' next trial or after `delay_s`; a killed process
        loses those of that time, which stay running, others see them so late, and of two who tell
        one trial the second may hear nothing of the first.
    delay_s : float
        How long changes of a running trial may stay in memory, in seconds; 0.0 writes each at
        once. While nobody else writes to the file, it may take as long until a change of a trial
        raises that somebody else finished that trial.
    timeout_s : float
        How long a call waits for other writers, in seconds, before it raises.
    heartbeat_interval, grace_period : int, optional
        Seconds, as `optuna.storages.RDBStorage` has them: running trials whose worker was not heard
        of for the grace period (by default twice the interval) are failed by the next `optimize`.
    heartbeat_stale_trial_callback : callable, optional
        Called with the study and each trial failed so, for example
        `optuna.storages.RetryHeartbeatStaleTrialCallback()`; Optuna below 4.9 calls it
        `failed_trial_callback`, which is taken as well.

    Raises
    ------
    StoreError
        One of its kinds, as `NoDupeGuard` says; `StoreClosedError` after `close`;
        `StorePathError` within half a second of writing, and at the end of `optimize`, if the file
        was deleted, moved or replaced.

    Examples
    --------
    >>> import tempfile, optuna
    >>> folder = tempfile.TemporaryDirectory()
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> with SQLiteStorage(folder.name + "/study.db") as storage:
    ...     study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    ...     study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    ...     [trial.number for trial in study.trials]
    [0, 1, 2]
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: str = "process",
        delay_s: float = 0.02,
        timeout_s: float = 30.0,
        heartbeat_interval: int | None = None,
        grace_period: int | None = None,
        heartbeat_stale_trial_callback: StaleCallback | None = None,
        failed_trial_callback: StaleCallback | None = None,
    ) -> None:
        if durability not in DURABILITIES:
            raise StoreArgumentError(
                f"unknown durability {durability!r}, expected one of"
                f" {', '.join(map(repr, DURABILITIES))}."
            )
        if heartbeat_stale_trial_callback is not None and failed_trial_callback is not None:
            raise StoreArgumentError(
                "found both heartbeat_stale_trial_callback and failed_trial_callback, expected one:"
                " they are two names of the same."
            )
        self._callback = heartbeat_stale_trial_callback or failed_trial_callback
        self._beats = Beats(heartbeat_interval, grace_period)
        self._durability = durability
        super().__init__(path, durability, delay_s, timeout_s)

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._database.path

    # --- heartbeats

    def record_heartbeat(self, trial_id: int) -> None:
        """Note that the worker of the trial lives. Cost: one statement."""
        with self._lock, self._database.transaction_unsynced() as raw:
            self._beats.record(raw, trial_id)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        with self._lock, self._database.reading() as raw:
            return self._beats.stale(raw, study_id)

    def get_heartbeat_interval(self) -> int | None:
        """Seconds between two heartbeats, None for no heartbeat."""
        return self._beats.interval

    def get_heartbeat_stale_trial_callback(self) -> StaleCallback | None:
        """What is called for each trial that was failed because its worker died."""
        return self._callback

    def get_failed_trial_callback(self) -> StaleCallback | None:
        """The same, under the name Optuna had for it before 4.9."""
        return self._callback

    # --- its end

    def remove_session(self) -> None:
        """Write what is kept in memory; Optuna calls this at the end of `optimize`.

        StorePathError if the file is not there any more.
        """
        with self._lock:
            self.flush()
            self._database.require_in_place()

    def check(self) -> None:
        """Raise StoreCorruptError unless the file and all its studies are whole.

        Cost: reads the whole file and makes every trial.
        """
        with self._lock:
            self.flush()
            self._database.check()
            self._refresh(None)
            for study_id in list(self._studies.by_id):
                self._check_trials(study_id)

    def close(self) -> None:
        """Write what is kept in memory and close the file; may be repeated."""
        with self._lock:
            try:
                with suppress(StoreClosedError):
                    self.flush()
            finally:
                self._forget_all()
                self._delay.hurry()
                self._database.close()

    def __getstate__(self) -> dict[str, Any]:
        """The arguments: another process opens the file by itself."""
        self.flush()
        return {"path": self.path, **self._settings()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        path = state.pop("path")
        SQLiteStorage.__init__(self, path, **state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, durability={self._durability!r})"

    def _settings(self) -> dict[str, Any]:
        return {
            "durability": self._durability,
            "delay_s": self._delay_s,
            "timeout_s": self._database.timeout_s,
            "heartbeat_interval": self._beats.interval,
            "grace_period": self._beats.grace,
            "heartbeat_stale_trial_callback": self._callback,
        }
