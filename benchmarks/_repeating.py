"""A sampler that repeats itself, whatever values it is told: for studies with many duplicates."""

from __future__ import annotations

import functools
import math
import random
from typing import Any


def sampler(seed: int) -> Any:
    """An Optuna sampler, the same for one seed: every odd trial repeats an even one before it.

    What it suggests depends on the trial's number alone, so that a study that serves the repeated
    trials and one that evaluates them get the same suggestions.
    """
    return _sampler_class()(seed)


def origin(number: int, seed: int) -> int:
    """The even trial whose parameters that trial has."""
    if number % 2 == 0:
        return number
    return 2 * random.Random(f"{seed},{number}").randrange(number // 2 + 1)


@functools.cache
def _sampler_class() -> Any:
    import optuna

    class Repeating(optuna.samplers.BaseSampler):
        """Half of its trials repeat an earlier one."""

        def __init__(self, seed: int) -> None:
            self._seed = seed

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: Any
        ) -> Any:
            even = origin(trial.number, self._seed)
            rng = random.Random(f"{self._seed},{even},{param_name}")
            return _drawn(rng, param_distribution)

    return Repeating


def _drawn(rng: random.Random, kind: Any) -> Any:
    """A value of a categorical, of an integer, or of a float without a step."""
    if hasattr(kind, "choices"):
        return rng.choice(kind.choices)
    if isinstance(kind.low, int):
        return rng.randrange(kind.low, kind.high + 1, kind.step)
    low, high = (math.log(kind.low), math.log(kind.high)) if kind.log else (kind.low, kind.high)
    found = rng.uniform(low, high)
    return min(max(math.exp(found) if kind.log else found, kind.low), kind.high)
