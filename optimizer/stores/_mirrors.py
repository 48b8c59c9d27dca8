"""What a storage knows of its file: read lazily, checked at every call, written in transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from optuna.storages import BaseStorage

from optimizer.errors import StoreCorruptError
from optimizer.stores import _optuna_rows as rows
from optimizer.stores import _schema, _storage_life
from optimizer.stores._arguments import seconds
from optimizer.stores._attention import Attention
from optimizer.stores._beats import Beats
from optimizer.stores._encoding import UNREADABLE
from optimizer.stores._mirror import StudyMirror
from optimizer.stores._one_connection import Moment, OneConnection
from optimizer.stores._open_trials import Ending, OpenTrial
from optimizer.stores._recording import Recording
from optimizer.stores._storage_life import Delay
from optimizer.stores._studies import Studies
from optimizer.stores._writing import Writer

LOOK_S = 0.5
"""How often a writer looks whether its file still has its name."""

_SPACES = "SELECT id, body FROM optuna_spaces WHERE study = ?"
DAMAGED = (*UNREADABLE, KeyError, IndexError, AttributeError)
"""What reading a damaged row may raise."""


class TrialFinishedMeanwhile(Exception):
    """Ends a transaction in which a trial was found finished; never leaves the storage."""


class Mirrors(BaseStorage):
    """The studies of a file and their trials, and the changes that are not in the file yet.

    Every method expects the lock to be held.
    """

    _beats: Beats

    def __init__(
        self, path: str | os.PathLike[str], durability: str, delay_s: float, timeout_s: float
    ) -> None:
        self._lock = threading.RLock()
        self._batches = durability == "batch"
        self._delay_s = seconds(delay_s, "delay_s")
        self._database = OneConnection(
            path, durability="process" if self._batches else durability, timeout_s=timeout_s
        )
        self._delay = Delay(self._delay_s)
        self._attention = Attention(self._delay_s)
        self._look_at_s = 0.0
        self._forget_all()
        _storage_life.enrol(self)

    def flush(self) -> None:
        """Write what is kept in memory. Cost: a transaction per study, nothing if nothing is."""
        with self._lock:
            if self._pending:
                for mirror in {mirror for mirror, _ in self._pending.values()}:
                    # A study that is gone takes with it what was kept of its trials.
                    with suppress(KeyError), self._changing(mirror, self._batches) as writer:
                        self._write_pending(mirror, writer)
                self._pending.clear()

    # --- studies and trials, as of now

    def _study(self, study_id: int) -> StudyMirror:
        """The study, up to date; KeyError if there is none."""
        mirror = self._mirror(study_id)
        self._refresh(mirror)
        return mirror

    def _mirror(self, study_id: int) -> StudyMirror:
        """The study as it was known last."""
        mirror = self._mirrors.get(study_id)
        if mirror is None:
            self._refresh(None)
            self._studies.require(study_id)
            mirror = self._mirrors[study_id] = StudyMirror(study_id, self._places)
        return mirror

    def _place(self, trial_id: int) -> tuple[StudyMirror, int]:
        """The study and number of a trial, as they were known last; KeyError if there is none."""
        place = self._places.get(trial_id)
        if place is None:
            found: list[tuple[int | None]] = []
            if isinstance(trial_id, int) and abs(trial_id) < 2**63:
                found = self._database.fetch(rows.STUDY_OF, (trial_id,))
            if found and found[0][0] is not None:
                self._study(found[0][0])
            place = self._places.get(trial_id)
            if place is None:
                raise KeyError(f"No trial with trial_id {trial_id} exists.")
        return place

    def _refresh(self, mirror: StudyMirror | None) -> None:
        """Bring the list of studies, and one of them, up to date; KeyError if it is gone."""
        moment = self._database.moment()
        self._attention.looked(moment)
        if self._studies.moment != moment or (mirror is not None and mirror.moment != moment):
            with self._database.snapshot() as raw:
                self._catch_up(raw, self._database.moment_within(raw), mirror)

    def _catch_up(
        self, raw: sqlite3.Connection, moment: Moment, mirror: StudyMirror | None
    ) -> None:
        """Read what changed until that moment, inside a transaction."""
        try:
            if self._studies.moment != moment:
                self._studies.take(raw)
                for gone in self._mirrors.keys() - self._studies.by_id.keys():
                    self._forget(self._mirrors[gone])
                self._studies.moment = moment
            if mirror is not None and mirror.study_id in self._studies.by_id:
                if mirror.moment != moment:
                    self._read_trials(raw, mirror)
                    mirror.moment = moment
                return
        except DAMAGED as error:
            raise self._damaged(f"a study cannot be read: {error!r}") from None
        if mirror is not None:
            self._studies.require(mirror.study_id)

    def _read_trials(self, raw: sqlite3.Connection, mirror: StudyMirror) -> None:
        found = raw.execute(rows.SINCE, (mirror.study_id, mirror.change)).fetchall()
        if not found:
            return
        unknown = {row[rows.SPACE] for row in found}
        unknown = {space for space in unknown if not mirror.spaces.knows(space)}
        few = len(unknown) < 8
        for wanted in unknown if few else (None,):
            query = f"{_SPACES} AND id = ?" if few else _SPACES
            values = (mirror.study_id, wanted) if few else (mirror.study_id,)
            for space, body in raw.execute(query, values).fetchall():
                if not mirror.spaces.knows(space):
                    mirror.spaces.read(space, body)
        mirror.take(found)

    # --- changes

    @contextmanager
    def _changing(self, mirror: StudyMirror, waits: bool) -> Iterator[Writer]:
        """A transaction over an up-to-date study; memory follows once it is committed.

        `waits` for the disk, under "power". KeyError if the study is gone.
        """
        database = self._database
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            database.require_in_place()
            self._look_at_s = now_s + LOOK_S
        begin = database.transaction if waits else database.transaction_unsynced
        with begin() as raw:
            moment = database.moment_within(raw)
            self._attention.looked(moment)
            if mirror.moment != moment or self._studies.moment != moment:
                self._catch_up(raw, moment, mirror)
            # An interrupt from here on leaves it open what the file holds: it is read again.
            mirror.moment = None
            writer = Writer(raw, mirror)
            yield writer
        writer.commit()
        mirror.moment = moment

    def _open(self, trial_id: int) -> tuple[StudyMirror, OpenTrial]:
        """A trial that may be changed; KeyError, or Optuna's error if it is finished.

        What somebody else did to it just now may be seen later, when the change is written, if
        nobody else wrote to the file for a while.
        """
        mirror, number = self._place(trial_id)
        trial = mirror.open_trial(number)
        if trial is None or mirror.moment is None or not self._attention.rests():
            self._refresh(mirror)
            trial = mirror.open_trial(number)
        if trial is None or rows.FINISHED[trial.state]:
            self.check_trial_is_updatable(trial_id, rows.STATES[mirror.state(number)])
            raise AssertionError("a finished trial is not updatable")
        return mirror, trial

    def _keep(self, mirror: StudyMirror, trial: OpenTrial) -> None:
        """A trial was changed in memory: see to it that this is written in time."""
        mirror.touch(trial)
        self._pending[trial.id] = (mirror, trial)
        if self._delay_s:
            self._delay.wake(self)
        else:
            self._write_now(mirror, trial)

    def _write_now(self, mirror: StudyMirror, trial: OpenTrial) -> None:
        """Write what is kept; Optuna's error if somebody finished the trial meanwhile."""
        told = rows.FINISHED[trial.state]
        self._pending[trial.id] = (mirror, trial)
        self.flush()
        if not told and mirror.open_trial(trial.number) is not trial:
            self.check_trial_is_updatable(trial.id, rows.STATES[mirror.state(trial.number)])

    def _write_pending(self, mirror: StudyMirror, writer: Writer) -> None:
        for its_mirror, trial in list(self._pending.values()):
            # Somebody else may have finished it; then what it has in memory is not wanted.
            if its_mirror is mirror and mirror.open_trial(trial.number) is trial:
                self._write(writer, trial, trial.state)

    def _write(
        self, writer: Writer, trial: OpenTrial, state: int, ending: Ending | None = None
    ) -> None:
        """Write a trial; at its end, nobody waits for its heartbeat any more."""
        writer.update(trial, state, ending)
        if rows.FINISHED[state] and self._beats.interval is not None:
            self._beats.end(writer.raw, trial.id)

    def _has_pending(self) -> bool:
        return bool(self._pending)

    # --- ends

    def _forget(self, mirror: StudyMirror) -> None:
        """The study is gone."""
        for trial_id in mirror.ids():
            self._places.pop(trial_id, None)
            self._pending.pop(trial_id, None)
            self._recordings.pop(trial_id, None)
        self._mirrors.pop(mirror.study_id, None)

    def _forget_all(self) -> None:
        self._mirrors: dict[int, StudyMirror] = {}
        self._places: dict[int, tuple[StudyMirror, int]] = {}
        self._pending: dict[int, tuple[StudyMirror, OpenTrial]] = {}
        self._recordings: dict[int, Recording] = {}
        self._studies = Studies()

    def _begin_anew(self) -> None:
        """After a fork, in the child: what the parent kept is the parent's to write."""
        self._lock = threading.RLock()  # a thread of the parent may have held it
        self._delay.forget()
        self._forget_all()

    def _damaged(self, finding: str) -> StoreCorruptError:
        return _schema.damaged(self._database.path, finding)
