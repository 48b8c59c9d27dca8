"""How a trial ends: what is told, and what is logged, as Optuna's own loop does it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import optuna
from optuna.study._tell import _tell_with_warning
from optuna.trial import TrialState

from optimizer.efficiency.subsampling import step_of
from optimizer.study.duplicates import SERVED_OF, VALUE, Values
from optimizer.study.fidelity import FRACTION, PARTIAL
from optimizer.study.jobs import Job

TRACEBACK = "optimizer:traceback"
"""User attribute of a failed trial: the traceback, as text."""
INTERRUPTED = "optimizer:interrupted"
"""User attribute, True, of a trial that failed only because its run ended before it did."""
LONGEST_TRACEBACK = 10_000
"""Characters kept of a traceback, its last ones."""

# A child of Optuna's logger: `optuna.logging.set_verbosity` counts here too.
logger = optuna.logging.get_logger("optuna.velocity")


class Ending:
    """Tells trials of one study, and logs what Optuna would log.

    Args:
        study: whose trials are told.
        quiet: whether ends of trials that went well are not logged: a progress line shows them.
    """

    def __init__(self, study: optuna.Study, *, quiet: bool) -> None:
        self._study = study
        self._logs = not quiet

    def complete(self, job: Job, values: Values) -> None:
        """Tell its values."""
        given = values[0] if len(values) == 1 else list(values)
        self._tell(job, TrialState.COMPLETE, given)
        if self._logs and logger.isEnabledFor(logging.INFO):
            shown = f"value: {values[0]}" if len(values) == 1 else f"values: {list(values)}"
            logger.info(
                f"Trial {job.number} finished with {shown} and parameters: {job.trial.values}."
                f"{self._best()}"
            )

    def pruned(self, job: Job, message: str) -> None:
        """Tell that it was pruned."""
        self._tell(job, TrialState.PRUNED)
        if self._logs:
            logger.info("Trial %d pruned. %s", job.number, message)

    def partial(self, job: Job) -> None:
        """Tell that it was evaluated on a part of the data only."""
        assert job.partial is not None  # else it would be complete
        fraction, value = job.partial
        job.trial.report(value, step_of(fraction))
        job.trial.set_user_attr(FRACTION, fraction)
        job.trial.set_user_attr(PARTIAL, value)
        self._tell(job, TrialState.PRUNED)
        if self._logs:
            logger.info(
                "Trial %d has value %r on %.0f%% of the data, and ends there.",
                job.number, value, 100 * fraction,
            )  # fmt: skip

    def note_partial(self, job: Job) -> None:
        """Keep what a trial that is complete had on a part of the data."""
        if job.partial is not None:
            job.trial.set_user_attr(FRACTION, job.partial[0])
            job.trial.set_user_attr(PARTIAL, job.partial[1])

    def served(self, job: Job, number: int, values: Values) -> None:
        """Tell that the point has a value already: FAIL, for samplers must not count it twice."""
        value = values[0] if len(values) == 1 else list(values)
        job.trial.set_user_attr(SERVED_OF, number)
        job.trial.set_user_attr(VALUE, value)
        self._tell(job, TrialState.FAIL)
        if self._logs and logger.isEnabledFor(logging.INFO):
            shown = f"{value:.6f}" if isinstance(value, float) else str(value)
            logger.info(f"Trial {job.number}: Using cached value {shown} for duplicate parameters")

    def failed(self, job: Job, why: str, traceback: str = "", value: Any = None) -> None:
        """Tell that it failed; the traceback is kept."""
        if traceback:
            job.trial.set_user_attr(TRACEBACK, traceback[-LONGEST_TRACEBACK:])
        self._tell(job, TrialState.FAIL)
        logger.warning(
            f"Trial {job.number} failed with parameters: {job.trial.values} because of the "
            f"following error: {why}." + (f"\n{traceback.rstrip()}" if traceback else "")
        )
        logger.warning("Trial %d failed with value %r.", job.number, value)

    def abandoned(self, job: Job) -> None:
        """Tell that it was interrupted: FAIL, with a mark, for the objective did not fail."""
        with suppress(Exception):  # it must not be left running for that
            job.trial.set_user_attr(INTERRUPTED, True)
        self._tell(job, TrialState.FAIL)
        logger.warning("Trial %d was interrupted and failed.", job.number)

    def _tell(self, job: Job, state: TrialState, values: Any = None) -> None:
        _tell_with_warning(self._study, job.trial, values, state, suppress_warning=True)

    def _best(self) -> str:
        try:
            best = self._study._storage.get_best_trial(self._study._study_id)
        except (ValueError, RuntimeError):  # none yet, or several objectives
            return ""
        return f" Best is trial {best.number} with value: {best.value}."
