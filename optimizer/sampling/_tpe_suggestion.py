"""One suggestion of TPE: the weights of both mixtures, candidates from one, the winner of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler

from optimizer._compat import available
from optimizer.sampling._tpe_observations import Column, Observations, Split
from optimizer.sampling._tpe_optuna import Inside, mixture_of, settings_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_WEIGHTS = 16
_MOST_SPACES = 64


@dataclass
class SamplerCounters:
    """How many suggestions came from where, since the sampler was made.

    A suggestion is one draw: of all parameters of a search space together, or of one. So 100 trials
    of 4 parameters, 10 of them at random, count 90 `own` where the parameters are drawn together
    and 360 where each is drawn alone; and 40 `startup`, for those are always drawn alone.

    Attributes:
        own: TPE suggestions from kept observations.
        exact: of those, how many Optuna's own mixtures decided, built from what is kept.
        startup: random values, one for each parameter, before there are enough trials.
        handed_over: calls of Optuna's own TPESampler; at random too, and those for all parameters
            together in which it draws none yet.
    """

    own: int = 0
    exact: int = 0
    startup: int = 0
    handed_over: int = 0

    @property
    def own_ratio(self) -> float:
        """Of the TPE suggestions, the part from the own path; 1.0 before the first."""
        return self.own / (self.own + self.handed_over) if self.own + self.handed_over else 1.0


class Suggester:
    """Makes the suggestions of one sampler; the observations are locked by the caller."""

    def __init__(self, tpe: TPESampler, parts: Inside) -> None:
        self._tpe, self._parts = tpe, parts
        self._parameters = settings_of(tpe)
        self._weigh = self._parameters.weights
        self._prior = self._parameters.prior_weight
        self._weighed: dict[int, Floats] = {}  # the default weights of a few numbers of trials
        self._spaces: dict[Any, Any] = {}
        self._compiled: Any = None
        if available("numba") and self._prior > 0 and not self._parameters.consider_endpoints:
            from optimizer.sampling import _tpe_candidates, _tpe_mixture, _tpe_prior

            self._compiled = _tpe_mixture
            self._agrees = _tpe_candidates.agrees
            self._gains_of_priors = _tpe_prior.gains_of_priors
            self._settings = _tpe_mixture.Settings(
                self._prior, self._parameters.consider_magic_clip, tpe._n_ei_candidates
            )

    def suggest(
        self,
        kept: Observations,
        columns: list[Column],
        split: Split,
        space: Mapping[str, BaseDistribution],
        counters: SamplerCounters,
    ) -> list[float]:
        """What the distributions store, in the order of the space."""
        counters.own += 1
        if self._compiled is None:
            counters.exact += 1
            return self._plain(columns, split, space)
        weights = [self._weights(len(rows)) for rows in split]
        whole = all(len(w) == len(rows) + 1 for w, rows in zip(weights, split, strict=True))
        if not whole or not self._agrees(self._parts.quantile):
            counters.exact += 1
            return self._plain(columns, split, space)
        taken_apart = self._taken_apart(space)
        below, above = (
            self._compiled.Mixture(taken_apart, columns, rows, kept.rank, w, self._settings)
            for rows, w in zip(split, weights, strict=True)
        )
        candidates = below.draw(self._tpe._rng.rng, self._parts.quantile)
        gains = below.log_density(candidates) - above.log_density(candidates)
        tolerance = taken_apart.tolerance + below.rounding + above.rounding
        near = self._compiled.contenders(candidates, gains, tolerance)
        if len(near) > 1:
            exact = self._gains_of_priors(self._parts, below, above, candidates, near)
            near = near[[np.argmax(exact)]] if exact is not None else near
        if len(near) == 1:
            best = near[0]
        else:
            counters.exact += 1
            drawn = dict(zip(space, candidates.values, strict=True))
            best = self._exact_winner(self._mixtures(columns, split, space), drawn)
        found: list[float] = candidates.values[:, best].tolist()
        return found

    def _taken_apart(self, space: Mapping[str, BaseDistribution]) -> Any:
        """The space in the arrays of the kernels; a few are remembered."""
        key = tuple(space.items())
        try:
            found = self._spaces.get(key)
        except TypeError:  # a choice that cannot be hashed
            return self._compiled.Space(space)
        if found is None:
            if len(self._spaces) >= _MOST_SPACES:
                self._spaces.clear()
            found = self._spaces[key] = self._compiled.Space(space)
        return found

    def _weights(self, n: int) -> Floats:
        """Of n observations, as Optuna weighs them, and the prior; read-only."""
        if self._weigh is not self._parts.default_weights:
            return self._normalised(self._parts.checked_weights(self._weigh, n))
        weights = self._weighed.get(n)
        if weights is None:
            if len(self._weighed) > _MOST_WEIGHTS:
                self._weighed.clear()
            weights = self._weighed[n] = self._normalised(self._weigh(n))
        return weights

    def _normalised(self, weights: Floats) -> Floats:
        if len(weights) == 0:
            return np.array([1.0])
        weights = np.append(weights, [self._prior])
        weights /= weights.sum()
        return weights

    def _plain(
        self, columns: list[Column], split: Split, space: Mapping[str, BaseDistribution]
    ) -> list[float]:
        """By Optuna's own mixtures of the kept observations."""
        mixtures = self._mixtures(columns, split, space)
        drawn = mixtures[0].sample(self._tpe._rng.rng, self._tpe._n_ei_candidates)
        best = self._exact_winner(mixtures, drawn)
        return [drawn[name][best].item() for name in space]

    def _mixtures(
        self, columns: list[Column], split: Split, space: Mapping[str, BaseDistribution]
    ) -> list[Any]:
        return [
            mixture_of(
                self._parts,
                {name: one.raw[rows] for name, one in zip(space, columns, strict=True)},
                space,
                self._parameters,
            )
            for rows in split
        ]

    def _exact_winner(self, mixtures: list[Any], drawn: Mapping[str, Floats]) -> int:
        below, above = mixtures
        return int(np.argmax(below.log_pdf(drawn) - above.log_pdf(drawn)))
