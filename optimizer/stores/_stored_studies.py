"""Optuna's studies in a store file: what a storage does with them, trials apart."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.study._frozen import FrozenStudy
from optuna.study._study_direction import StudyDirection

from optimizer.stores._arguments import require_name
from optimizer.stores._mirrors import Mirrors
from optimizer.stores._optuna_rows import attribute
from optimizer.stores._removal import remove_from_optuna
from optimizer.stores._studies import SYSTEM, USER

_logger = optuna.logging.get_logger("optuna.storages.SQLiteStorage")


class StoredStudies(Mirrors):
    """The half of `optuna.storages.BaseStorage` that speaks of studies."""

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """A new study; its id. Cost: one transaction. DuplicatedStudyError if it is there."""
        name = DEFAULT_STUDY_NAME_PREFIX + str(uuid.uuid4()) if study_name is None else study_name
        if name != "":  # which Optuna allows
            require_name(name)
        with self._lock, self._changing_studies() as raw:
            study_id = self._studies.create(raw, name, list(directions))
        _logger.info(f"A new study created in {self._database.path} with name: {name}")
        return study_id

    def delete_study(self, study_id: int) -> None:
        """Remove the study with its trials. Cost: one transaction that reads them all."""
        with self._lock:
            with self._changing_studies() as raw:
                self._studies.require(study_id)
                remove_from_optuna(raw, study_id)
            mirror = self._mirrors.get(study_id)
            if mirror is not None:
                self._forget(mirror)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute, which JSON can hold. Cost: one transaction."""
        self._set_study_attribute(study_id, USER, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of Optuna's own. Cost: one transaction."""
        self._set_study_attribute(study_id, SYSTEM, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id of the study of that name; KeyError if there is none."""
        with self._lock:
            self._refresh(None)
            study = self._studies.by_name.get(study_name)
            if study is None:
                raise KeyError(f"No such study {study_name}.")
            return study.study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name of the study of that id; KeyError if there is none."""
        with self._lock:
            self._refresh(None)
            return self._studies.require(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """The directions of the study."""
        with self._lock:
            self._refresh(None)
            return self._studies.require(study_id).directions.copy()

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that users set."""
        with self._lock:
            self._refresh(None)
            return self._studies.require(study_id).attributes_of(USER)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that Optuna set."""
        with self._lock:
            self._refresh(None)
            return self._studies.require(study_id).attributes_of(SYSTEM)

    def get_all_studies(self) -> list[FrozenStudy]:
        """All studies, in the order of their ids."""
        with self._lock:
            self._refresh(None)
            return [study.frozen() for _, study in sorted(self._studies.by_id.items())]

    def _set_study_attribute(self, study_id: int, kind: int, key: str, value: Any) -> None:
        text = attribute(key, value)
        if key != "":
            require_name(key, "name of an attribute")
        with self._lock, self._changing_studies() as raw:
            self._studies.require(study_id)
            self._studies.set(raw, study_id, kind, key, text)

    @contextmanager
    def _changing_studies(self) -> Iterator[sqlite3.Connection]:
        """A transaction over an up-to-date list of studies, which is read again afterwards."""
        with self._database.transaction() as raw:
            self._catch_up(raw, self._database.moment_within(raw), None)
            self._studies.moment = None
            yield raw
