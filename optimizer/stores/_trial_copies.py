"""Copies of frozen trials that may be changed without changing the original."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

_UNCHANGEABLE = frozenset((str, int, float, bool, type(None)))


def own_copy(trial: FrozenTrial) -> FrozenTrial:
    """As `copy.deepcopy` of a trial that a storage made, sharing its distributions.

    Cost: that of making the trial, where `deepcopy` looks at everything in it one by one.
    """
    return FrozenTrial(
        trial.number,
        trial.state,
        None,
        trial.datetime_start,
        trial.datetime_complete,
        _own(trial.params),
        trial.distributions.copy(),
        _own(trial.user_attrs),
        _own(trial.system_attrs),
        trial.intermediate_values.copy(),
        trial._trial_id,
        values=trial.values,
    )


def _own(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if type(value) in _UNCHANGEABLE else copy.deepcopy(value)
        for name, value in values.items()
    }
