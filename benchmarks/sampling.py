"""Hot paths of the sampling room: what Optuna's default sampler costs a trial, and ours.

Both sides get the same trials and the same seed, and must suggest the same values, bit for bit. The
trials are drawn as TPE draws its candidates, near the best ones so far, so that observations are
as crowded and as often equal as in a study that it leads: that decides how much can be left out.
"""

from __future__ import annotations

import bisect
import functools
import math
import random
import warnings
from collections.abc import Sequence
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_SEED = 5
_BEST, _WIDTH = 25, 1.0 / 27.0  # trials of TPE's better mixture, and of the range how wide it is
_LEAST_OWN = 0.99  # of the suggestions, from the sampler's own path
_WITNESSES = ("bytecodes", "instructions", "cpu", "wall")
_TAKEN = 4  # suggestions a call, each from another state of the generator: few of them take longer

_CHOICES = ("a", "b", "c")
_OPTIONS: dict[str, dict[str, Any]] = {
    "multivariate": {},  # as Optuna has it by default
    "univariate": {"multivariate": False},
}


def _objective(trial: Any) -> float:
    """Ten parameters of all kinds, and an objective of nothing; the best value is 0."""
    total: float = 0.0
    for k in range(3):
        total += (trial.suggest_float(f"x{k}", -5.0, 5.0) - k) ** 2
    total += abs(math.log10(trial.suggest_float("rate", 1e-5, 1.0, log=True)) + 3.0)
    total += trial.suggest_float("share", 0.0, 1.0, step=0.05)
    total += (trial.suggest_int("bars", 1, 100) - 30) ** 2 / 100.0
    total += abs(trial.suggest_int("width", 1, 256, log=True) - 16) / 20.0
    total += trial.suggest_int("even", 0, 8, step=2)
    total += _CHOICES.index(trial.suggest_categorical("kind", _CHOICES))
    return total + float(trial.suggest_categorical("flag", (True, False)))


class _Drawn:
    """Stands in for a trial that is drawn near an earlier one; anywhere, where there is none."""

    def __init__(self, source: random.Random, near: dict[str, Any] | None) -> None:
        import optuna

        self._source, self._near, self._kinds = source, near, optuna.distributions
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        self.distributions[name] = self._kinds.FloatDistribution(low, high, **options)
        self.params[name] = found = self._number(name, low, high, **options)
        return found

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        self.distributions[name] = self._kinds.IntDistribution(low, high, log, step)
        self.params[name] = found = int(self._number(name, low, high, step=step, log=log))
        return found

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.distributions[name] = self._kinds.CategoricalDistribution(choices)
        found = self._source.choice(choices)
        if self._near is not None and self._source.random() > _WIDTH:
            found = self._near[name]
        self.params[name] = found
        return found

    def _number(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        least, most = (math.log(low), math.log(high)) if log else (low, high)
        found = self._source.uniform(least, most)
        if self._near is not None:
            middle = math.log(self._near[name]) if log else self._near[name]
            found = math.inf
            while not least <= found <= most:  # of a range, TPE draws within
                found = self._source.gauss(middle, _WIDTH * (most - least))
        found = math.exp(found) if log else found
        if step is not None:
            found = low + round((found - low) / step) * step
        return min(max(found, low), high)


@functools.cache
def _trials(n: int) -> list[Any]:
    """n finished trials, the same each time: each near one of the best so far, a few anywhere."""
    import optuna

    source, made = random.Random(_SEED), []
    best: list[tuple[float, int, dict[str, Any]]] = []
    for number in range(n):
        chosen = source.randrange(_BEST + 1)
        drawn = _Drawn(source, best[chosen][2] if chosen < len(best) else None)
        value = _objective(drawn)
        bisect.insort(best, (value, number, drawn.params))
        del best[_BEST:]
        params, kinds = drawn.params, drawn.distributions
        made.append(optuna.trial.create_trial(value=value, params=params, distributions=kinds))
    return made


class _Samplers:
    """Both samplers, with one seed; `optuna`, `sampler_of` and `verified` are set by `setup`."""

    optuna: Any
    sampler_of: Any
    verified: bool  # Optuna's version; with others ours hands over everything, and says so once

    def setup(self, n: int) -> None:
        try:
            import optuna

            from optimizer.sampling._tpe_optuna import VERIFIED
            from optimizer.sampling.tpe import IncrementalTPESampler
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.sampler_of = optuna, IncrementalTPESampler
        self.verified = optuna.__version__ in VERIFIED

    def _own(self, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("default" if self.verified else "ignore")
            return self.sampler_of(seed=_SEED, **options)

    def _optunas(self, **options: Any) -> Any:
        return self.optuna.samplers.TPESampler(seed=_SEED, **options)

    def _is_own(self, sampler: Any) -> bool:
        """Whether what was compared came from the sampler's own path, not from Optuna's."""
        return sampler.counters.own_ratio >= _LEAST_OWN or not self.verified


class _Both(_Samplers):
    """A study of n finished trials in memory, for both samplers, and any number that failed.

    What failed is no observation: n stays what it is, however often either side asks.
    """

    def setup(self, n: int, densities: str = "multivariate") -> None:
        super().setup(n)
        options = _OPTIONS[densities]
        storage = self.optuna.storages.InMemoryStorage()
        place: dict[str, Any] = {"study_name": "s", "storage": storage}
        self.study = self.optuna.create_study(**place, sampler=self._own(**options))
        self.slow = self.optuna.load_study(**place, sampler=self._optunas(**options))
        self.study.add_trials(_trials(n))
        self.generators = {
            self.study: self.study.sampler._optuna._rng,
            self.slow: self.slow.sampler._rng,
        }
        self.failed = self.optuna.trial.TrialState.FAIL

    def _suggested(self, study: Any, taken: int) -> list[Any]:
        found: list[Any] = []
        for k in range(taken):
            self.generators[study].rng.seed(_SEED + k)
            trial = study.ask()
            _objective(trial)
            found += trial.params.values()
            study.tell(trial, state=self.failed)
        return found

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        """The same values, each of ten parameters, from our own path."""
        return before == after and len(after) % 10 == 0 and self._is_own(self.study.sampler)


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=1_000)
class Suggest(_Both):
    """Four suggestions where n trials are finished: ask, ten mixed parameters, told as failed."""

    params = (1_000,)
    param_names = ("n",)

    def before(self, n: int) -> list[Any]:
        return self._suggested(self.slow, _TAKEN)

    def after(self, n: int) -> list[Any]:
        return self._suggested(self.study, _TAKEN)


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=300)
class Resume(_Samplers):
    """A study of n trials goes on for five: all are taken in, then each is asked and told."""

    params = (300,)
    param_names = ("n",)

    def fresh(self, n: int) -> None:
        self.study = self.optuna.create_study()
        self.study.add_trials(_trials(n))

    def _gone_on(self, sampler: Any) -> list[Any]:
        self.study.sampler = sampler
        self.study.optimize(_objective, n_trials=5)
        new = self.study.get_trials(deepcopy=False)[-5:]
        return [value for trial in new for value in trial.params.values()]

    def before(self, n: int) -> list[Any]:
        return self._gone_on(self._optunas())

    def after(self, n: int) -> list[Any]:
        self.sampler = self._own()
        return self._gone_on(self.sampler)

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        """The same values of all five, from our own path."""
        return before == after and len(after) == 50 and self._is_own(self.sampler)


_CANDIDATES = 24  # as many as Optuna draws
_NUMBERS, _STEPPED, _CATEGORICAL = 4, 4, 2  # parameters of each kind
_CELLS = 20  # of a parameter with a step, that differ


def _mixture(n: int) -> tuple[Any, ...]:
    """What the density of n observations is read from, and the candidates."""
    import numpy as np

    rng = np.random.default_rng(_SEED)

    def near(*shape: int) -> Any:
        return rng.normal(0.2, 3.0 * _WIDTH, shape).clip(-1.0, 1.0)

    cells = -rng.exponential(4.0, _STEPPED * _CANDIDATES * _CELLS)
    starts = _CELLS * np.arange(_STEPPED * _CANDIDATES).reshape(_STEPPED, _CANDIDATES)
    chosen = rng.integers(0, 3, (_CATEGORICAL, n))
    chosen[:, -1] = -1
    return (
        np.log(rng.uniform(0.5, 1.0, n) / n),
        near(_NUMBERS, _CANDIDATES),
        near(_NUMBERS, n),
        1.0 / rng.uniform(0.02, 0.03, (_NUMBERS, n)),
        cells,
        starts,
        rng.integers(0, _CELLS, (_STEPPED, n)),
        rng.integers(0, 3, (_CATEGORICAL, _CANDIDATES)),
        chosen,
        np.log(np.array([[0.6, 0.2, 0.3]] * _CATEGORICAL)),
    )


@_hot_path(
    claim="",
    witnesses=_WITNESSES,
    claim_at=10_000,
)
class Density:
    """The log density of 24 candidates under a mixture of n components: numpy → one kernel."""

    params = (10_000,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        try:
            import numpy as np

            from optimizer.reference.tpe import log_density as plain
            from optimizer.sampling._tpe_kernels import log_density
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.plain, self.log_density = plain, log_density
        arrays = _mixture(n)
        self.slow_arrays = (*arrays, np.empty(_CANDIDATES))
        self.arrays = (*arrays, np.empty(_CANDIDATES))

    def before(self, n: int) -> Any:
        self.plain(*self.slow_arrays)
        return self.slow_arrays[-1]

    def after(self, n: int) -> Any:
        self.log_density(*self.arrays)
        return self.arrays[-1]

    def agree(self, before: Any, after: Any) -> bool:
        """To 1e-11: the kernel sums in another order, with an exponential of its own."""
        import numpy as np

        return bool(np.isfinite(after).all() and np.allclose(after, before, rtol=1e-12, atol=1e-11))
