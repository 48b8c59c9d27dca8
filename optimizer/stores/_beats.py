"""Heartbeats of running trials, by the clock of the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial

from optimizer.errors import StoreArgumentError
from optimizer.stores._optuna_rows import RUNNING
from optimizer.stores._rows import NOW_MS

StaleCallback = Callable[["optuna.study.Study", FrozenTrial], None]

# The clock and the state are constants of ours; every value is bound.
_RECORD = (
    f"INSERT INTO optuna_heartbeats (trial, beat) VALUES (?, {NOW_MS})"  # noqa: S608 - see above
    " ON CONFLICT (trial) DO UPDATE SET beat = excluded.beat"
)
_STALE = (
    "SELECT trial FROM optuna_heartbeats JOIN optuna_trials ON id = trial"  # noqa: S608 - see above
    f" WHERE study = ? AND state = {RUNNING} AND beat < {NOW_MS} - ? ORDER BY trial"
)
_END = "DELETE FROM optuna_heartbeats WHERE trial = ?"


class Beats:
    """How often a worker's heartbeat is noted, and after how long a silence it is taken for dead.

    Both in seconds; StoreArgumentError for what is not positive.
    """

    def __init__(self, interval: int | None, grace: int | None) -> None:
        for what, found in (("heartbeat_interval", interval), ("grace_period", grace)):
            if found is not None and not found > 0:
                raise StoreArgumentError(f"{what} is {found!r}, expected None or a positive number")
        self.interval = interval
        self.grace = grace

    def record(self, raw: sqlite3.Connection, trial_id: int) -> None:
        """The worker of the trial lives."""
        raw.execute(_RECORD, (trial_id,))

    def end(self, raw: sqlite3.Connection, trial_id: int) -> None:
        """The trial needs no worker any more."""
        raw.execute(_END, (trial_id,))

    def stale(self, raw: sqlite3.Connection, study_id: int) -> list[int]:
        """The running trials of the study that were heard of, but too long ago."""
        grace = self.grace if self.grace is not None else 2 * (self.interval or 0)
        found = raw.execute(_STALE, (study_id, round(1000 * grace))).fetchall()
        return [trial_id for (trial_id,) in found]
