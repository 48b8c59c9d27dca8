"""The threshold of `is_hopeless` as a pruner of Optuna's."""

from __future__ import annotations

import bisect
from collections.abc import Mapping

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optimizer.efficiency.pruning import check_pruning, is_hopeless
from optimizer.efficiency.subsampling import FRACTION, step_of

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class ThresholdPruner(BasePruner):
    """Stops a trial that has less than `threshold` of what the best has over a typical trial.

    Compared are values of the same step: what the trial reported last, with what each other
    trial, complete or pruned, had reported by then. Pruned trials count with the last value they
    had; were they left out, a typical trial would be one of those that survived, and the bar would
    rise with every trial that is stopped. A trial of `optimizer.optimize` that was only seen on a
    part of the data does not count: the step of its value is none of the objective's.
    `is_hopeless` says what happens with negative values, both directions, NaN, and trials that are
    all alike.

    Cost: at each question a pass over the finished trials, and a sort. Pickles.

    Args:
        threshold: ratio, at most 1; see `is_hopeless`.
        min_trials: finished trials with a value at the step before anything is stopped.

    Raises:
        EfficiencyError: a threshold or minimum that makes no sense.

    Example:
        >>> import optuna
        >>> study = optuna.create_study(pruner=ThresholdPruner(0.1))
    """

    def __init__(self, threshold: float = 0.1, min_trials: int = 10) -> None:
        check_pruning(threshold, min_trials)
        self._threshold, self._min_trials = float(threshold), min_trials

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to be stopped after the step that it reported last."""
        step = trial.last_step
        if step is None:
            return False
        finished = study.get_trials(deepcopy=False, states=_FINISHED)
        reached = (_by(step, one.intermediate_values) for one in finished if not _is_part(one))
        return is_hopeless(
            trial.intermediate_values[step],
            [value for value in reached if value is not None],
            study.direction.name.lower(),
            threshold=self._threshold,
            min_trials=self._min_trials,
        )

    def __repr__(self) -> str:
        return f"ThresholdPruner(threshold={self._threshold}, min_trials={self._min_trials})"


def _by(step: int, reported: Mapping[int, float]) -> float | None:
    """What was reported at the step, or at the last one before it."""
    if step in reported:
        return reported[step]
    steps = sorted(reported)
    place = bisect.bisect(steps, step)
    return reported[steps[place - 1]] if place else None


def _is_part(trial: FrozenTrial) -> bool:
    """Whether it ended with its value on a part of the data."""
    fraction = trial.user_attrs.get(FRACTION)
    return fraction is not None and [*trial.intermediate_values] == [step_of(fraction)]
