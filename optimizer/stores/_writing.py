"""The changes of trials that one transaction makes, and what follows from its commit."""

from __future__ import annotations

import sqlite3
from typing import Any

from optimizer.stores import _optuna_rows as rows
from optimizer.stores._mirror import StudyMirror
from optimizer.stores._open_trials import Ending, OpenTrial
from optimizer.stores._spaces import Space

_NEXT_SPACE = "SELECT coalesce(max(id), 0) + 1 FROM optuna_spaces WHERE study = ?"
_NEW_SPACE = "INSERT INTO optuna_spaces (study, id, body) VALUES (?, ?, ?)"


class Writer:
    """Writes trials of one study. What memory knows changes in `commit`, not before."""

    __slots__ = ("_change", "_mirror", "_new", "_spaces", "_written", "raw")

    def __init__(self, raw: sqlite3.Connection, mirror: StudyMirror) -> None:
        self.raw = raw
        self._mirror = mirror
        self._change = mirror.change
        self._new: OpenTrial | None = None
        self._written: list[tuple[OpenTrial, rows.Row]] = []
        self._spaces: dict[Space, int] = {}

    def start(self, trial: OpenTrial) -> None:
        """Write the next trial, which has nothing but its start."""
        self._change += 1
        study_id = self._mirror.study_id
        values = (study_id, trial.number, trial.state, self._change, trial.started)
        self._insert(trial, rows.NEW, values)

    def add(self, trial: OpenTrial) -> None:
        """Write the next trial, whatever it holds."""
        self._change += 1
        rest = (trial.number, trial.state, self._change, *trial.columns(self._space_row(trial)))
        self._insert(trial, rows.INSERT, (self._mirror.study_id, *rest))
        self._written.append((trial, (trial.id, *rest)))

    def update(self, trial: OpenTrial, state: int, ending: Ending | None = None) -> None:
        """Write a trial again, with this state and ending, or its own."""
        self._change += 1
        columns = trial.columns(self._space_row(trial), ending)
        self.raw.execute(rows.UPDATE, (state, self._change, *columns, trial.id))
        self._written.append((trial, (trial.id, trial.number, state, self._change, *columns)))

    def commit(self) -> None:
        """It is in the file: let memory know."""
        mirror = self._mirror
        for space, number in self._spaces.items():
            mirror.spaces.keep(number, space)
        if self._new is not None:
            mirror.add(self._new)
        for trial, row in self._written:
            mirror.written(trial, row)
        mirror.change = self._change

    def _insert(self, trial: OpenTrial, statement: str, values: tuple[Any, ...]) -> None:
        trial_id = self.raw.execute(statement, values).lastrowid
        assert trial_id is not None  # an INSERT has one
        trial.id = trial_id
        self._new = trial

    def _space_row(self, trial: OpenTrial) -> int | None:
        space = trial.space
        if space.row is not None or space.parent is None:
            return space.row
        row = self._spaces.get(space)
        if row is None:
            study_id = self._mirror.study_id
            ((row,),) = self.raw.execute(_NEXT_SPACE, (study_id,)).fetchall()
            self.raw.execute(_NEW_SPACE, (study_id, row, space.body()))
            self._spaces[space] = row
        return row
