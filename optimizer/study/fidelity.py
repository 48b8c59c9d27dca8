"""Evaluations on parts of the data: how much a trial gets, and who is evaluated in full."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from optuna.trial import FrozenTrial

from optimizer.efficiency import Subsampling
from optimizer.protocols import Signature
from optimizer.study.duplicates import KnownPoints, sign
from optimizer.study.jobs import Job

FRACTION = "optimizer:fraction"
"""User attribute: the part of the data that a trial was last evaluated on, where not on all."""
PARTIAL = "optimizer:partial_value"
"""User attribute: its value there."""
PROMOTED_RATIO = 0.05
"""The part of a study's trials, its last ones, in which the best points that were only seen on a
part of the data are evaluated in full; at least one."""


class Fidelity:
    """What a study knows of values on parts of the data.

    A trial whose last evaluation was on a part ends as PRUNED: Optuna's samplers learn from it as
    from any trial that was stopped early, and never count it as the best.

    Args:
        policy: how much data trials get; None for all at once.
        direction: "minimize" or "maximize".
    """

    def __init__(self, policy: Subsampling | None, direction: str = "minimize") -> None:
        self.policy = policy
        self._direction = direction
        self._values: dict[float, list[float]] = {}
        self._unfinished: dict[Signature, tuple[float, float, dict[str, Any]]] = {}

    def fraction(self, job: Job) -> float:
        """How much of the data the trial starts with.

        A point that was evaluated on a part before is proposed again: it gets all of the data.
        """
        if self.policy is None:
            return 1.0
        promising = job.is_promising or job.signature in self._unfinished
        return self.policy.fraction(job.number, promising=promising)

    def goes_on(self, job: Job, value: float) -> bool:
        """Note a value on a part of the data; whether the trial earned more, in `job.fraction`."""
        assert self.policy is not None  # nothing else makes a part
        others = self._values.setdefault(job.fraction, [])
        promising = self.policy.is_promising(value, others, self._direction)
        others.append(value)
        job.partial = (job.fraction, value)
        # Late trials get more by their numbers, not by their values, unless the policy is adaptive.
        if promising and self.policy.adaptive:
            job.fraction = self.policy.next_fraction(job.fraction)
            return True
        if job.signature is not None and not math.isnan(value):
            self._unfinished[job.signature] = (job.fraction, value, dict(job.params))
        return False

    def finished(self, signature: Signature | None) -> None:
        """A point was evaluated in full, or at least tried."""
        if self._unfinished and signature is not None:
            self._unfinished.pop(signature, None)

    def promoted(self) -> dict[str, Any] | None:
        """The best point that was only seen on a part of the data; None if there is none.

        Where larger parts were earned, the points that earned them come first: values of different
        parts cannot be compared where an objective adds up.
        """
        if not self._unfinished:
            return None
        sign = 1 if self._direction == "maximize" else -1
        seen = self._unfinished
        earned = self.policy is not None and self.policy.adaptive
        best = max(seen, key=lambda key: (earned and seen[key][0], sign * seen[key][1]))
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
        for trial in trials:
            fraction, value = trial.user_attrs.get(FRACTION), trial.user_attrs.get(PARTIAL)
            if fraction is None or value is None:
                continue
            self._values.setdefault(fraction, []).append(value)
            signature = sign(trial.params, known.space)
            if signature is not None and known.get(signature) is None:
                self._unfinished[signature] = (fraction, value, dict(trial.params))
