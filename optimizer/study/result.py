"""What a study came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from optimizer.report import RunReport


@dataclass(frozen=True, slots=True)
class Result:
    """What `optimize` returns.

    The best is the study's, as Optuna knows it: of all its complete trials, those of earlier runs
    too. A trial that was only evaluated on a part of the data is never complete.

    Attributes:
        study: a real `optuna.Study`.
        run: the figures of this run.
    """

    study: optuna.Study
    run: RunReport

    @property
    def best_params(self) -> dict[str, Any]:
        """Parameters of the best trial; ValueError if no trial is complete."""
        return self.study.best_params

    @property
    def best_value(self) -> float:
        """Its value, on all data; ValueError if no trial is complete."""
        return self.study.best_value

    @property
    def best_trial(self) -> FrozenTrial:
        """The best trial, of one objective; ValueError if no trial is complete."""
        return self.study.best_trial

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """The trials that no other beats in every objective."""
        return self.study.best_trials

    def report(self) -> str:
        """The figures of the run as text; `run.html(study)` makes a page of them."""
        return self.run.text()

    def __repr__(self) -> str:
        return f"Result(study={self.study.study_name!r}, trials={self.run.trials})"
