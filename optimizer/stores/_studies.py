"""The studies of a file as Optuna knows them, without their trials."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from optuna.exceptions import DuplicatedStudyError
from optuna.study._frozen import FrozenStudy
from optuna.study._study_direction import StudyDirection

from optimizer.stores._one_connection import Moment

USER, SYSTEM = 0, 1
"""The kinds of attributes."""

_SINCE = (
    "SELECT optuna_studies.id, name, directions, change FROM optuna_studies"
    " LEFT JOIN studies ON studies.id = study WHERE change > ? ORDER BY change"
)
_ATTRIBUTES = "SELECT kind, name, value FROM optuna_attributes WHERE study = ?"
_NEW_NAME = "INSERT INTO studies (name) VALUES (?) ON CONFLICT DO NOTHING"
_NAMED = (
    "SELECT id, (SELECT 1 FROM optuna_studies WHERE study = studies.id) FROM studies WHERE name = ?"
)
_NEW = "INSERT INTO optuna_studies (study, directions, change) VALUES (?, ?, ?)"
_SET = (
    "INSERT INTO optuna_attributes (study, kind, name, value) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = excluded.value"
)
_CHANGED = "UPDATE optuna_studies SET change = ? WHERE id = ?"


class Study:
    """A study without its trials. Its attributes are replaced, never changed."""

    __slots__ = ("attributes", "directions", "name", "study_id")

    def __init__(self, study_id: int, name: str, directions: list[StudyDirection]) -> None:
        self.study_id = study_id
        self.name = name
        self.directions = directions
        self.attributes: tuple[dict[str, str], dict[str, str]] = ({}, {})  # name -> JSON

    def attributes_of(self, kind: int) -> dict[str, Any]:
        """The attributes, a dictionary of the caller's own."""
        return {name: json.loads(text) for name, text in self.attributes[kind].items()}

    def frozen(self) -> FrozenStudy:
        """It as Optuna sees it."""
        return FrozenStudy(
            self.name,
            None,
            self.attributes_of(USER),
            self.attributes_of(SYSTEM),
            self.study_id,
            directions=self.directions,
        )


class Studies:
    """All studies of a file, brought up to date by its rows; not thread-safe by itself."""

    def __init__(self) -> None:
        self.moment: Moment | None = None  # when they were known to be as the file
        self.by_id: dict[int, Study] = {}
        self.by_name: dict[str, Study] = {}
        self._change = 0

    def take(self, raw: sqlite3.Connection) -> None:
        """Read what changed. ValueError, TypeError or KeyError if a row is damaged."""
        for study_id, name, directions, change in raw.execute(_SINCE, (self._change,)).fetchall():
            gone = self.by_id.pop(study_id, None)
            if gone is not None:
                self.by_name.pop(gone.name, None)
            if name is not None:
                found = [StudyDirection(number) for number in json.loads(directions)]
                study = Study(study_id, name, found)
                for kind, key, text in raw.execute(_ATTRIBUTES, (study_id,)).fetchall():
                    study.attributes[kind][key] = text
                self.by_id[study_id] = self.by_name[name] = study
            self._change = change

    def require(self, study_id: int) -> Study:
        """The study of that id; KeyError if there is none."""
        study = self.by_id.get(study_id)
        if study is None:
            raise KeyError(f"No study with study_id {study_id} exists.")
        return study

    # --- inside a transaction, after `take`

    def create(self, raw: sqlite3.Connection, name: str, directions: list[StudyDirection]) -> int:
        """Write a new study; its id. DuplicatedStudyError if there is one of that name."""
        raw.execute(_NEW_NAME, (name,))
        ((row, taken),) = raw.execute(_NAMED, (name,)).fetchall()
        if taken:
            raise DuplicatedStudyError(
                f"Another study with name '{name}' already exists. Please specify a different"
                " name, or reuse the existing one by setting `load_if_exists` (for Python API)"
                " or `--skip-if-exists` flag (for CLI)."
            )
        numbers = json.dumps([int(direction) for direction in directions])
        study_id = raw.execute(_NEW, (row, numbers, self._change + 1)).lastrowid
        assert study_id is not None  # an INSERT has one
        return study_id

    def set(self, raw: sqlite3.Connection, study_id: int, kind: int, name: str, text: str) -> None:
        """Write an attribute."""
        raw.execute(_SET, (study_id, kind, name, text))
        raw.execute(_CHANGED, (self._change + 1, study_id))
