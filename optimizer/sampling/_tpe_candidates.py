"""Drawing candidates from the mixture of the best trials, bit for bit as Optuna draws them.

The steps and their order are those of `optuna.samplers._tpe` (MIT License, Preferred Networks,
Inc.), whose normal distribution follows SciPy (BSD-3-Clause): the same numbers are taken from the
generator, and each goes through the same operations. Numpy's functions are called on whole arrays,
because their last digit differs from the C library's; what stands between them is compiled.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimizer.sampling import _tpe_kernels as kernels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOG_ROOT_2PI = math.log(math.sqrt(2 * math.pi))
_LOGISTIC = math.sqrt(3) / math.pi
_MOST_AT_ONCE = 2000
"""From this size on Optuna computes the error function in another way."""
_DEEPEST = -100.0
_MANY_CHOICES = 32  # up to here a table of all is kept


def choice_quantiles(n_kernels: int, n_choices: int, prior_weight: float, chosen: Ints) -> Floats:
    """Cumulative probabilities of each choice, in a row for each observed one; -1 is the prior.

    Returns: (len(chosen), n_choices)
    """
    if n_choices > _MANY_CHOICES:
        return _choice_quantiles(n_kernels, n_choices, prior_weight, chosen)
    return _every_choice_quantile(n_kernels, n_choices, prior_weight)[chosen]


@functools.lru_cache(256)
def _every_choice_quantile(n_kernels: int, n_choices: int, prior_weight: float) -> Floats:
    every = np.append(np.arange(n_choices), -1)
    return _choice_quantiles(n_kernels, n_choices, prior_weight, every)


def _choice_quantiles(n_kernels: int, n_choices: int, prior_weight: float, chosen: Ints) -> Floats:
    quantiles = np.cumsum(choice_weights(n_kernels, n_choices, prior_weight, chosen), axis=-1)
    quantiles[:, -1] = 1
    return quantiles


def choice_weights(n_kernels: int, n_choices: int, prior_weight: float, chosen: Ints) -> Floats:
    """Probability of each choice, in a row for each observed one; -1 is the prior."""
    if n_kernels == 1:
        weights = np.full((len(chosen), n_choices), 1.0 / n_choices)
    else:
        weights = np.full((len(chosen), n_choices), prior_weight / n_kernels)
        observed = np.flatnonzero(chosen >= 0)
        weights[observed, chosen[observed]] += 1
        sums = weights.sum(axis=1, keepdims=True)
        weights /= np.where(sums == 0, 1, sums)
    return weights


class Numerical(NamedTuple):
    """The numerical parameters of a mixture: (parameters, n) or (parameters,)."""

    mus: Floats
    sigmas: Floats
    lows: Floats  # of the densities
    highs: Floats


def truncated_normals(active: Ints, mixture: Numerical, quantiles: Floats, plain: Any) -> Floats:
    """One number for each quantile, from the component drawn; shape (parameters, candidates).

    `plain` is Optuna's own quantile function, for what the compiled parts do not cover.
    """
    size = quantiles.size
    mu, sigma, lower, outside = (np.empty(size) for _ in range(4))
    inside = kernels.quantile_start(active, *mixture, mu, sigma, lower, outside)
    if inside and size < _MOST_AT_ONCE:
        q = quantiles.ravel()
        with np.errstate(divide="ignore"):
            y = np.logaddexp(lower, np.log(q) + np.log1p(outside))
        if y.min() > _DEEPEST and y.max() < 0:
            return (_inverse(y) * sigma + mu).reshape(quantiles.shape)
    mus, sigmas = mixture.mus[:, active], mixture.sigmas[:, active]
    a = (mixture.lows[:, np.newaxis] - mus) / sigmas
    b = (mixture.highs[:, np.newaxis] - mus) / sigmas
    found: Floats = plain(quantiles, a, b) * sigmas + mus
    return found


@functools.cache
def agrees(plain: Any) -> bool:
    """Whether the compiled parts give Optuna's numbers on this machine; asked once per process.

    They do where the compiler calls the C library that Python calls, and where numpy's functions do
    not care at which place of an array a number stands.
    """
    random = np.random.RandomState(0)
    mus, sigmas = random.uniform(-1, 1, (3, 20)), 2.0 / random.uniform(1, 100, (3, 20))
    active, quantiles = random.randint(0, 20, 60), random.random_sample((3, 60))
    mu, sigma = mus[:, active], sigmas[:, active]
    mixture = Numerical(mus, sigmas, np.full(3, -1.0), np.full(3, 1.0))
    with np.errstate(all="ignore"):
        comp = truncated_normals(active, mixture, quantiles, plain)
        ref = plain(quantiles, (-1.0 - mu) / sigma, (1.0 - mu) / sigma) * sigma + mu
        alone = [np.log(one)[0] for one in quantiles.reshape(-1, 1)]
        return bool((comp == ref).all() and (np.log(quantiles).ravel() == alone).all())


def _inverse(y: Floats) -> Floats:
    """x such that y = log_ndtr(x), by Newton's method; every y in (_DEEPEST, 0)."""
    flipped = y > -1e-2
    z = np.where(flipped, np.log(-np.expm1(y)), y)
    x = np.where(
        z < -5,
        -np.sqrt(np.maximum(-2.0 * (z + _LOG_ROOT_2PI), 0.0)),
        -_LOGISTIC * np.log(np.expm1(-z)),
    )
    difference, exponent = np.empty_like(x), np.empty_like(x)
    for _ in range(100):
        kernels.quantile_argument(x, z, difference, exponent)
        if kernels.quantile_step(x, difference, np.exp(exponent)):
            break
    x[flipped] *= -1
    return x
