"""What is reported on a part of the data: the pruner is told, the trial is not."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState

from optimizer.study.drawing import LateTrial


class PartTrial:
    """Stands in for a trial while it is evaluated on a part of the data.

    Reports stay here: the same steps come again on more data, and Optuna takes each step once. The
    study's pruner decides by what other trials reported on the same part.

    Args:
        trial: the trial that is evaluated; it gets the attributes.
        shadow: a trial of the study of its part.
    """

    __slots__ = ("_shadow", "_trial")

    def __init__(self, trial: LateTrial, shadow: optuna.Trial) -> None:
        self._trial = trial
        self._shadow = shadow

    @property
    def number(self) -> int:
        """The number of the trial."""
        return int(self._trial.number)

    @property
    def reported(self) -> dict[int, float]:
        """What was reported on this part; not a copy."""
        found: dict[int, float] = self._shadow._cached_frozen_trial.intermediate_values
        return found

    def report(self, value: float, step: int) -> None:
        """As `optuna.Trial.report`."""
        self._shadow.report(value, step)

    def should_prune(self) -> bool:
        """Whether the study's pruner would end the trial here."""
        return self._shadow.should_prune()

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep something with the trial."""
        self._trial.set_user_attr(key, value)

    def end(self, state: TrialState, value: float | None = None) -> None:
        """The evaluation on this part is over."""
        self._shadow.study.tell(self._shadow, value, state=state)


class Parts:
    """The evaluations on parts of the data: a study in memory for each part, of this run.

    What earlier runs reported on a part is not known.

    Args:
        study: whose trials are evaluated.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._of: dict[float, optuna.Study] = {}

    def begin(self, trial: LateTrial, fraction: float) -> PartTrial:
        """A stand-in for the trial, until its evaluation on this part is over.

        Cost: that of a trial in memory.
        """
        shadow = self._of.get(fraction)
        if shadow is None:
            shadow = self._of[fraction] = self._made()
        shadow.pruner = self._study.pruner
        return PartTrial(trial, shadow.ask())

    def _made(self) -> optuna.Study:
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))  # nobody made a study
        try:
            return optuna.create_study(
                directions=self._study.directions,
                sampler=optuna.samplers.RandomSampler(seed=0),  # it draws nothing
                pruner=self._study.pruner,
            )
        finally:
            optuna.logging.set_verbosity(level)
