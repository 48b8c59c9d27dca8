"""Parameters drawn before the objective asks for them, recorded only once it does."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution

from optimizer.study.objectives import no_mapping

Distributions = Mapping[str, BaseDistribution]


class LateTrial(optuna.Trial):
    """An Optuna trial whose parameters may be drawn ahead, by Optuna's own code.

    What was drawn ahead is neither in the storage nor in `params` until the objective suggests it,
    or `record` is called: so a parameter that a branching objective never asks for is never
    recorded, and parameters may be drawn again.

    Attributes:
        sampling_s: seconds in which parameters were drawn because the objective suggested them.
    """

    _ahead: dict[str, tuple[BaseDistribution, Any]]
    sampling_s = 0.0

    @classmethod
    def of(cls, trial: optuna.Trial) -> LateTrial:
        """The same trial; the given one must not be used any more."""
        late = cls.__new__(cls)
        late.__dict__ = trial.__dict__
        late._ahead = {}
        # The storage may have given out its own object; drawing ahead writes into ours.
        seen = copy.copy(trial._cached_frozen_trial)
        seen.params, seen.distributions = dict(seen.params), dict(seen.distributions)
        late._cached_frozen_trial = seen
        return late

    @property
    def is_fixed(self) -> bool:
        """Whether somebody enqueued it with parameters."""
        return bool(self._fixed_params)

    def fix(self, params: Mapping[str, Any]) -> None:
        """Have these values drawn, as if the trial had been enqueued with them."""
        self._fixed_params = dict(params)

    def draw(self, distributions: Distributions) -> dict[str, Any]:
        """Values for all of these, in their order; drawn anew at each call.

        Cost: that of suggesting them, without the storage.
        """
        self._ahead = {}
        self._relative_params = None
        storage, seen = self.storage, self._cached_frozen_trial
        self.storage = _Unrecorded(storage)  # type: ignore[assignment]  # as much as is used
        suggest = super()._suggest
        values = {}
        try:
            for name, distribution in distributions.items():
                values[name] = suggest(name, distribution)
        finally:
            self.storage = storage
            for name in values:
                seen.params.pop(name, None)
                seen.distributions.pop(name, None)
        self._ahead = {name: (distributions[name], value) for name, value in values.items()}
        return values

    def record(self) -> None:
        """Record everything that was drawn ahead and not suggested yet."""
        ahead, self._ahead = self._ahead, {}
        for name, (distribution, value) in ahead.items():
            self._record(name, distribution, value)

    def forget(self) -> set[str]:
        """Drop what was drawn ahead and never suggested; its names."""
        ahead, self._ahead = self._ahead, {}
        return set(ahead)

    @property
    def ahead(self) -> dict[str, tuple[BaseDistribution, Any]]:
        """What was drawn ahead and not suggested yet."""
        return self._ahead

    @property
    def recorded(self) -> Distributions:
        """The distributions of what was suggested, in that order; not a copy."""
        found: Distributions = self._cached_frozen_trial.distributions
        return found

    @property
    def reported(self) -> dict[int, float]:
        """The intermediate values; not a copy."""
        found: dict[int, float] = self._cached_frozen_trial.intermediate_values
        return found

    @property
    def values(self) -> dict[str, Any]:
        """The parameters that were suggested; not a copy."""
        found: dict[str, Any] = self._cached_frozen_trial.params
        return found

    def suggest(self, name: str, distribution: BaseDistribution) -> Any:
        """A value for one parameter, recorded."""
        return self._suggest(name, distribution)

    def __getitem__(self, key: object) -> NoReturn:
        """Parameters are given where a space is."""
        raise no_mapping(key)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if self._ahead:
            drawn = self._ahead.pop(name, None)
            if drawn is not None and drawn[0] == distribution:
                self._record(name, distribution, drawn[1])
                return drawn[1]
        started_s = time.perf_counter()
        value = super()._suggest(name, distribution)
        self.sampling_s += time.perf_counter() - started_s
        return value

    def _record(self, name: str, distribution: BaseDistribution, value: Any) -> None:
        internal = distribution.to_internal_repr(value)
        self.storage.set_trial_param(self._trial_id, name, internal, distribution)
        self._cached_frozen_trial.distributions[name] = distribution
        self._cached_frozen_trial.params[name] = value


class _Unrecorded:
    """A storage that does not record parameters."""

    __slots__ = ("_storage",)

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def set_trial_param(self, *_: Any) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)
