"""Evaluations on parts of the data: how much a trial gets, and who is evaluated in full."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.efficiency import Subsampling
from optimizer.efficiency.subsampling import FRACTION as FRACTION
from optimizer.protocols import Signature
from optimizer.study.duplicates import KnownPoints, sign
from optimizer.study.jobs import Job
from optimizer.study.parts import Parts

PARTIAL = "optimizer:partial_value"
"""User attribute: its value on the part of the data that `FRACTION` names."""
PROMOTED_RATIO = 0.05
"""The part of a study's trials, its last ones, in which the best points that were only seen on a
part of the data are evaluated in full; at least one."""


class Fidelity:
    """What a study knows of values on parts of the data.

    A trial whose last evaluation was on a part ends as PRUNED: Optuna's samplers learn from it as
    from any trial that was stopped early, and never count it as the best.

    Args:
        policy: how much data trials get; None for all at once.
        study: whose trials get them.

    Attributes:
        n_trials: of the run; None where nobody knows.
    """

    def __init__(self, policy: Subsampling | None, study: optuna.Study) -> None:
        self.policy = policy
        self.n_trials: int | None = None
        self._direction = study.directions[0].name.lower()
        self._parts = Parts(study)
        self._earned: dict[float, int] = {}
        self._values: dict[float, list[float]] = {}
        self._unfinished: dict[Signature, tuple[float, float, dict[str, Any]]] = {}

    def fraction(self, job: Job) -> float:
        """How much of the data the trial starts with.

        A point that was evaluated on a part before is proposed again: it gets all of the data.
        """
        if self.policy is None:
            return 1.0
        promising = job.is_promising or job.signature in self._unfinished
        return self.policy.fraction(job.number, self.n_trials, promising=promising)

    def begin(self, job: Job) -> None:
        """The trial is about to be evaluated on its fraction of the data."""
        job.part = None
        if job.fraction < 1.0:
            job.part = self._parts.begin(job.trial, job.fraction)

    def goes_on(self, job: Job, value: float) -> bool:
        """Note a value on a part of the data; whether the trial earned more, in `job.fraction`."""
        assert self.policy is not None  # nothing else makes a part
        assert job.part is not None  # the same
        job.part.end(TrialState.COMPLETE, value)
        others = self._values.setdefault(job.fraction, [])
        earned = self._earned.get(job.fraction, 0)
        promising = self.policy.is_promising(value, others, self._direction, earned)
        others.append(value)
        job.partial = (job.fraction, value)
        # Late trials get more by their numbers, not by their values, unless the policy is adaptive.
        if promising and self.policy.adaptive:
            self._earned[job.fraction] = earned + 1
            job.fraction = 1.0
            self.begin(job)
            return True
        if job.signature is not None and not math.isnan(value):
            self._unfinished[job.signature] = (job.fraction, value, dict(job.params))
        return False

    def stopped(self, job: Job, state: TrialState) -> None:
        """The trial came to no value, on a part of the data or on all."""
        if job.part is not None:
            job.part.end(state)
        self.finished(job.signature)

    def finished(self, signature: Signature | None) -> None:
        """A point was evaluated in full, or at least tried."""
        if self._unfinished and signature is not None:
            self._unfinished.pop(signature, None)

    def promoted(self) -> dict[str, Any] | None:
        """The best point that was only seen on a part of the data; None if there is none."""
        if not self._unfinished:
            return None
        sign = 1 if self._direction == "maximize" else -1
        seen = self._unfinished
        best = max(seen, key=lambda key: sign * seen[key][1])
        return seen.pop(best)[2]

    @property
    def has_unfinished(self) -> bool:
        """Whether there is a point for `promoted`."""
        return bool(self._unfinished)

    def kept_back(self, n_trials: int | None) -> int:
        """How many of so many trials are kept for promotions."""
        if self.policy is None or n_trials is None:
            return 0
        return max(1, int(PROMOTED_RATIO * n_trials))

    def resume(self, trials: Iterable[FrozenTrial], known: KnownPoints) -> None:
        """Take in what earlier runs of the study saw on parts of the data."""
        if self.policy is None:
            return
        complete = set()
        for trial in trials:
            fraction, value = trial.user_attrs.get(FRACTION), trial.user_attrs.get(PARTIAL)
            if fraction is None or value is None:
                continue
            self._values.setdefault(fraction, []).append(value)
            signature = sign(trial.params, known.space)
            if trial.state == TrialState.COMPLETE:
                self._earned[fraction] = self._earned.get(fraction, 0) + 1
                complete.add(signature)
            elif signature is not None and known.get(signature) is None:
                self._unfinished[signature] = (fraction, value, dict(trial.params))
        for signature in complete:
            self.finished(signature)
