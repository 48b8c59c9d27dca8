"""Removing studies from a store file: as Optuna knows them, or with all that is kept of them."""

from __future__ import annotations

import sqlite3

from optimizer.stores import _rows

# The largest id of a trial must stay, so that it is not given again.
_REMOVE = (
    "DELETE FROM optuna_heartbeats WHERE trial IN (SELECT id FROM optuna_trials WHERE study = ?)",
    "DELETE FROM optuna_attributes WHERE study = ?",
    "DELETE FROM optuna_trials WHERE study IS NULL"
    " AND ? = (SELECT study FROM optuna_trials ORDER BY id DESC LIMIT 1)",
    "DELETE FROM optuna_trials WHERE study = ? AND id < (SELECT max(id) FROM optuna_trials)",
    "UPDATE optuna_trials SET study = NULL, number = 0, state = 3, change = 0, space = NULL,"
    " params = NULL, value = NULL, user = NULL, system = NULL, steps = NULL, started = NULL,"
    " finished = NULL WHERE study = ?",
    "DELETE FROM optuna_spaces WHERE study = ?",
    "UPDATE optuna_studies SET study = NULL, directions = '[]',"
    " change = (SELECT max(change) + 1 FROM optuna_studies) WHERE id = ?",
)
_OF_STUDY = (
    "DELETE FROM signatures WHERE study = ?",
    "DELETE FROM trials WHERE study = ?",
    "DELETE FROM metadata WHERE study = ?",
)


def remove_from_optuna(raw: sqlite3.Connection, optuna_id: int) -> None:
    """Remove a study with its trials and attributes. Call it inside a transaction.

    Its row stays, without a name, for its id is never given again. Cost: reads all its trials.
    """
    for statement in _REMOVE:
        raw.execute(statement, (optuna_id,))


def drop(raw: sqlite3.Connection, name: str) -> bool:
    """Remove all that is kept of the study of that name; False if there is none.

    Call it inside a transaction. The name's own row stays, and claims that are held: whoever works
    on the study goes on, with nothing found. Cost: reads all it removes.
    """
    found = raw.execute("SELECT id FROM studies WHERE name = ?", (name,)).fetchall()
    for (study,) in found:
        ids = raw.execute("SELECT id FROM optuna_studies WHERE study = ?", (study,)).fetchall()
        for (optuna_id,) in ids:
            remove_from_optuna(raw, optuna_id)
        for statement in _OF_STUDY:
            raw.execute(statement, (study,))
        _rows.forget_others(raw, study, ())
    return bool(found)
