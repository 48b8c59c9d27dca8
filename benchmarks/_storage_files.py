"""The same finished trials as each storage keeps them, written at once: for studies reopened.

Storing them one by one, as a study does, would take longer than what is measured. What a study
leaves is the same: a test compares, record by record and row by row.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

NAME = "s"
_TIME = "2026-01-02T03:04:05.000006"
_WITH_ZONE = f"{_TIME}+00:00"
_DAY_AND_TIME = _TIME.replace("T", " ")


def store(file: str, trials: Sequence[Any]) -> None:
    """Into a store file of ours."""
    import optuna

    from optimizer.stores.optuna_storage import SQLiteStorage

    with SQLiteStorage(file) as storage:
        study = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], NAME)
        for trial in trials:
            storage.create_new_trial(study, trial)


def journal(file: str, trials: Sequence[Any]) -> None:
    """Into Optuna's journal: a record for the start, each parameter and the end of a trial."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    backend = JournalFileBackend(file)
    optuna.create_study(storage=optuna.storages.JournalStorage(backend), study_name=NAME)
    backend.append_logs(list(journal_records(trials)))


def journal_records(trials: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """What a study of one worker appends."""
    text = _texts()
    for trial in trials:
        yield {"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": _WITH_ZONE}
        for name, kind in trial.distributions.items():
            yield {
                "op_code": 5,
                "worker_id": "w",
                "trial_id": trial.number,
                "param_name": name,
                "param_value_internal": kind.to_internal_repr(trial.params[name]),
                "distribution": text(kind),
            }
        yield {
            "op_code": 6,
            "worker_id": "w",
            "trial_id": trial.number,
            "state": int(trial.state),
            "values": trial.values,
            "datetime_complete": _WITH_ZONE,
        }


def database(file: str, trials: Sequence[Any]) -> None:
    """Into the database of Optuna's `RDBStorage`."""
    import optuna

    optuna.create_study(storage=f"sqlite:///{file}", study_name=NAME)
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, rows in database_rows(trials).items():
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - our own names


def database_rows(trials: Sequence[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Table -> what a study of one worker leaves in it."""
    text, ids = _texts(), itertools.count(1)
    params = [
        (next(ids), trial.number + 1, name, kind.to_internal_repr(trial.params[name]), text(kind))
        for trial in trials
        for name, kind in trial.distributions.items()
    ]
    return {
        "trials": [
            (trial.number + 1, trial.number, 1, trial.state.name, _DAY_AND_TIME, _DAY_AND_TIME)
            for trial in trials
        ],
        "trial_params": params,
        "trial_values": [
            (trial.number + 1, trial.number + 1, 0, trial.value, "FINITE") for trial in trials
        ],
    }


def _texts() -> Callable[[Any], str]:
    """Distribution -> JSON, each object once."""
    import optuna

    known: dict[int, str] = {}

    def text(kind: Any) -> str:
        if id(kind) not in known:
            known[id(kind)] = optuna.distributions.distribution_to_json(kind)
        return known[id(kind)]

    return text
