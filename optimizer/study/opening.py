"""The study of a run: created, resumed, or as it was given."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import check_distribution_compatibility
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from optimizer._parameters import shown
from optimizer.efficiency import EfficiencyConfig
from optimizer.errors import FingerprintError, ForeignFileError, StudyArgumentError
from optimizer.sampling import _tpe_optuna
from optimizer.sampling.tpe import IncrementalTPESampler
from optimizer.space import SearchSpace
from optimizer.stores.fingerprint import fingerprint
from optimizer.stores.optuna_storage import SQLiteStorage
from optimizer.study.arguments import refuse_together
from optimizer.study.ending import logger

FINGERPRINT = "optimizer:fingerprint"
"""User attribute of a study: which objective and data its trials speak of, and from which on."""
NAME = "default"
"""Name of the study in a file, where none is given."""
SEEDS = 2**32
"""As many numbers as numpy takes for a seed."""
_SCHEME = "sqlite:///"


def open_storage(storage: Any, durability: str) -> BaseStorage | None:
    """A path or `sqlite:///...` as SQLiteStorage, an Optuna storage as it is.

    Raises:
        StoreError: the file cannot be used.
        StudyArgumentError: it is none of these, or is not of the durability that was asked for.
    """
    if isinstance(storage, str) and storage.startswith(_SCHEME):
        storage = storage[len(_SCHEME) :]
    elif isinstance(storage, str) and "://" in storage:
        storage = optuna.storages.get_storage(storage)
    if isinstance(storage, (str, os.PathLike)):
        try:
            return SQLiteStorage(storage, durability=durability)
        except ForeignFileError as error:
            url = f"sqlite:///{os.fspath(storage)}"
            raise ForeignFileError(
                f"{error} Where it is a file of Optuna's own, pass "
                f"storage=optuna.storages.RDBStorage({url!r})."
            ) from None
    if durability != "process":
        raise StudyArgumentError(
            f"found durability {durability!r} for {type(storage).__name__}, expected a path as "
            "storage: other storages have a durability of their own."
        )
    if storage is None or isinstance(storage, BaseStorage):
        return storage
    raise StudyArgumentError(
        f"storage is {storage!r}, expected a path, a text such as 'sqlite:///study.db', an Optuna "
        "storage, or None for memory."
    )


def open_study(
    *,
    study: Any,
    storage: Any,
    study_name: str | None,
    direction: Any,
    directions: Any,
    sampler: Any,
    pruner: Any,
    seed: int | None,
    durability: str,
    config: EfficiencyConfig | None,
) -> optuna.Study:
    """The study that was given, or one of that name, created if it is not there.

    A sampler made here is seeded by the seed and the number of trials that were begun: the same
    seed in a later run would draw the first random points again. One that was given is left alone.

    Raises:
        StudyArgumentError: arguments that do not go together, or an existing study of other
            directions.
    """
    _require("sampler", sampler, optuna.samplers.BaseSampler)
    _require("pruner", pruner, optuna.pruners.BasePruner)
    _require("study_name", study_name, str)
    if sampler is not None:
        refuse_together("sampler", ("seed", seed))
    if study is not None:
        return _given(study, storage, study_name, direction, directions, sampler, pruner, seed)
    if direction is not None:
        refuse_together("direction", ("directions", directions))
    given = sampler
    if sampler is None:
        sampler = _sampler(seed, config)
    if pruner is None and config is not None:
        pruner = config.pruner()
    opened = open_storage(storage, durability)
    if study_name is None and isinstance(opened, SQLiteStorage):
        study_name = NAME
    try:
        created = optuna.create_study(
            storage=opened,
            study_name=study_name,
            direction=direction,
            directions=directions,
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )
    except ValueError as error:
        if isinstance(error, optuna.exceptions.OptunaError):
            raise
        raise StudyArgumentError(
            f"found direction {direction!r} and directions {directions!r}, expected 'minimize' or "
            f"'maximize', one for each objective: {error}"
        ) from None
    _require_directions(created, direction, directions)
    if given is None and seed is not None and (begun := _begun(created)):
        created.sampler = _sampler((seed + begun) % SEEDS, config)
    return created


def _require(what: str, found: Any, kind: type) -> None:
    if found is not None and not isinstance(found, kind):
        raise StudyArgumentError(
            f"{what} is {shown(found)}, expected a {kind.__name__}, or None for the default."
        )


def _given(
    study: Any,
    storage: Any,
    study_name: Any,
    direction: Any,
    directions: Any,
    sampler: Any,
    pruner: Any,
    seed: Any,
) -> optuna.Study:
    if not isinstance(study, optuna.Study):
        raise StudyArgumentError(f"study is {study!r}, expected an optuna.Study.")
    refuse_together(
        "study",
        *(("storage", storage), ("study_name", study_name), ("seed", seed)),
        *(("direction", direction), ("directions", directions)),
    )
    if study._thread_local.in_optimize_loop:
        raise StudyArgumentError(
            f"found the study {study.study_name!r} given to optimize while it is running, expected "
            "another one: an objective may run studies of its own, not the one it is part of."
        )
    if sampler is not None:
        study.sampler = sampler
    if pruner is not None:
        study.pruner = pruner
    return study


def _sampler(seed: int | None, config: EfficiencyConfig | None) -> optuna.samplers.BaseSampler:
    if config is not None and config.sampling == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if _tpe_optuna.inside() is None:  # it would hand everything over, with a warning
        return optuna.samplers.TPESampler(seed=seed)
    return IncrementalTPESampler(seed=seed)


def _begun(study: optuna.Study) -> int:
    """How many trials somebody drew parameters for."""
    states = tuple(state for state in TrialState if state != TrialState.WAITING)
    return study._storage.get_n_trials(study._study_id, states)


def _require_directions(study: optuna.Study, direction: Any, directions: Any) -> None:
    if direction is None and directions is None:
        return
    asked = [direction] if directions is None else list(directions)
    words = [one if isinstance(one, str) else one.name.lower() for one in asked]
    stored = [one.name.lower() for one in study.directions]
    if words != stored:
        raise StudyArgumentError(
            f"found the study {study.study_name!r} with {', '.join(stored)}, expected "
            f"{', '.join(words)}: take another study_name, or leave the direction out."
        )


def require_compatible(study: optuna.Study, space: SearchSpace) -> None:
    """Refuse a space that the trials of an earlier run do not let a storage take.

    Raises:
        StudyArgumentError: a parameter is of another kind, or has other choices, than it had.
    """
    wanted = space.to_distributions()
    for trial in study.get_trials(deepcopy=False):
        if not wanted:
            return
        for name in trial.distributions.keys() & wanted.keys():
            before, now = trial.distributions[name], wanted.pop(name)
            try:
                check_distribution_compatibility(before, now)
            except ValueError:
                raise StudyArgumentError(
                    f"found the study {study.study_name!r} with {name!r} as {before}, expected "
                    f"{now}: in one study a parameter keeps its kind and its choices; take another "
                    "study_name, or another name for the parameter."
                ) from None


def is_persistent(study: optuna.Study) -> bool:
    """Whether its trials outlive this process."""
    return not isinstance(study._storage, InMemoryStorage)


def identify(
    study: optuna.Study, objective: Any, data: Mapping[str, Any] | None, version: str | None
) -> tuple[bytes | None, int, str]:
    """The fingerprint of objective and data, the first trial that it speaks of, and a remark.

    A study whose objective changed keeps its trials, and the sampler learns from them as Optuna's
    would; but no value of before is served any more.

    Returns:
        The fingerprint, None where there is none; the number of a trial; a line for the report,
        empty if there is nothing to say.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of modules that are imported to be looked at
            found = fingerprint(objective, data, version=version)
    except FingerprintError as error:
        if version is not None:
            raise
        return None, 0, f"values are not kept beyond this study: {error}"
    kept = study.user_attrs.get(FINGERPRINT)
    if isinstance(kept, Mapping) and kept.get("hex") == found.hex():
        return found, int(kept.get("since", 0)), ""
    there = 0
    if kept is not None:
        finished = (one for one in study.get_trials(deepcopy=False) if one.state.is_finished())
        there = 1 + max((one.number for one in finished), default=-1)
    study.set_user_attr(FINGERPRINT, {"hex": found.hex(), "since": there})
    if not there:
        return found, 0, ""
    remark = (
        f"the objective or its data changed since the {there} earlier trials of this study: "
        "their values are not served, but they still count for best_value and the sampler; a new "
        "study_name begins anew"
    )
    logger.warning("%s.", remark.capitalize())
    return found, there, remark
