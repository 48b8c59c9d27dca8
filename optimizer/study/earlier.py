"""What a file of studies holds already, for a command line."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from optimizer.errors import StudyArgumentError
from optimizer.stores.optuna_storage import SQLiteStorage

_NAMED = 3
"""So many studies of a file are named where another one begins."""


def opened(path: str) -> SQLiteStorage:
    """The storage in a file, which may be named as Optuna does.

    Raises:
        StudyArgumentError: it is the address of something else.
    """
    path = path.removeprefix("sqlite:///")
    if "://" in path:
        raise StudyArgumentError(f"--storage is {path!r}, expected a file")
    return SQLiteStorage(path)


def trials_told(storage: SQLiteStorage, name: str, wanted: Sequence[str]) -> int | None:
    """How many trials a study has that came to an end; None if there is no such study.

    Those that failed are tried again, unless they were served.

    Raises:
        StudyArgumentError: its directions are not the wanted ones.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None
    directions = [one.name.lower() for one in study.directions]
    if directions != list(wanted):
        raise StudyArgumentError(
            f"study {name!r} in {storage.path!r} has {', '.join(directions)}, and the script "
            f"{', '.join(wanted)}; pass another --study or change `direction`"
        )
    return sum(map(_counts, study.get_trials(deepcopy=False)))


def others(storage: SQLiteStorage) -> str:
    """The studies of a file with their trials, in words, the first ones by name; empty: none."""
    studies = storage.get_all_studies()
    shown = []
    for one in studies[:_NAMED]:
        n = storage.get_n_trials(one._study_id)
        shown.append(f"{one.study_name!r} ({n} trial{'s' * (n != 1)})")
    if len(studies) > _NAMED:
        shown.append(f"{len(studies) - _NAMED} more")
    return ", ".join(shown)


def _counts(trial: FrozenTrial) -> bool:
    served = "optimizer:served_of" in trial.user_attrs or "optimizer:value" in trial.user_attrs
    return trial.state.name in ("COMPLETE", "PRUNED") or served
