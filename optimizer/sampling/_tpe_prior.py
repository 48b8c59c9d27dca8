"""Where both mixtures are their prior alone: which of several candidates wins, as Optuna says.

Far from every observation the densities differ by the weights of the priors only, the same for all
such candidates. Once a study has converged they are the best quite often, and the last digits of
Optuna's arithmetic decide. Those digits come from the one component that counts: every other one is
too small to change a sum of which the prior is a part, in whatever order it is summed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.sampling import _tpe_kernels as kernels
from optimizer.sampling._tpe_candidates import choice_weights
from optimizer.sampling._tpe_mixture import Candidates, Mixture
from optimizer.sampling._tpe_optuna import Inside

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOST = 42.0
"""1.0 plus what is this far below it, as logarithms, is 1.0: a hundredth of half its last digit."""
_ANOTHER_ERF = 2000
"""From so many numbers at once on, Optuna takes an error function with other last digits."""
_MOST_CANDIDATES = 64


def gains_of_priors(
    parts: Inside, below: Mixture, above: Mixture, candidates: Candidates, near: Ints
) -> Floats | None:
    """Optuna's gains of the candidates that `near` names; None where more than priors count.

    Cost: a look at each component for each of these candidates.
    """
    if not 0 < len(near) <= _MOST_CANDIDATES:
        return None
    if not all(_is_prior_alone(one, candidates, near) for one in (below, above)):
        return None
    gains: Floats = _log_pdf(parts, below, candidates, near) - _log_pdf(
        parts, above, candidates, near
    )
    return gains


def _is_prior_alone(mixture: Mixture, candidates: Candidates, near: Ints) -> bool:
    if not len(mixture.rows):
        return True
    read = mixture.read
    assert read is not None  # by the densities, which were asked for
    prior, others = np.full_like(read.base, -np.inf), read.base.copy()
    prior[-1], others[-1] = read.base[-1], -np.inf
    found = np.empty((2, len(near)))
    for base, out in zip((prior, others), found, strict=True):
        kernels.log_density(
            base, np.ascontiguousarray(candidates.at[:, near]), read.mus, read.inverse,
            read.tables, np.ascontiguousarray(read.starts[:, near]), read.ids,
            np.ascontiguousarray(read.choices[:, near]), mixture.chosen, read.hits, out,
        )  # fmt: skip
    return bool((found[1] < found[0] - _LOST).all())


def _log_pdf(parts: Inside, mixture: Mixture, candidates: Candidates, near: Ints) -> Floats:
    """The prior's part of Optuna's `log_pdf`, which is all of it: the terms in Optuna's order."""
    space = mixture.space
    total = np.zeros(len(near))
    for i in range(len(space.names)):
        if i in space.categorical:
            n_choices = space.n_choices[space.categorical.index(i)]
            weights = choice_weights(
                len(mixture.weights), n_choices, mixture.settings.prior_weight, np.array([-1])
            )
            total += np.log(weights[0, candidates.values[i, near].astype(np.int64)])
        elif (at := space.numerical.index(i)) >= space.n_continuous:
            cells, whole = _masses_of_cells(parts, mixture, candidates.numbers[at], near, at)
            total += cells
            total -= whole
    if space.n_continuous:
        total += _of_continuous(parts, mixture, candidates.at[:, near])
    total += np.log(mixture.weights[-1:])
    return total


def _of_continuous(parts: Inside, mixture: Mixture, at: Floats) -> Floats:
    n = mixture.space.n_continuous
    least, most = mixture.space.least[:n], mixture.space.most[:n]
    low, high = least[:, np.newaxis], most[:, np.newaxis]
    central = int(((mixture.mus[:n] >= low) & (mixture.mus[:n] < high)).sum())
    mu, sigma = mixture.mus[:n, -1], mixture.sigmas[:n, -1]
    mass = _log_mass(parts, (least - mu) / sigma, (most - mu) / sigma, central)
    x = (at.T[:, np.newaxis, :] - mu) / sigma
    terms: Floats = parts.truncnorm._norm_logpdf(x) - mass - np.log(sigma)
    total: Floats = terms.sum(axis=-1)[:, 0]
    return total


def _masses_of_cells(
    parts: Inside, mixture: Mixture, numbers: Floats, near: Ints, at: int
) -> tuple[Floats, Floats]:
    """Log mass under the prior of the cells of these candidates, and of all cells together."""
    space = mixture.space
    mu, sigma = mixture.mus[at, -1:], mixture.sigmas[at, -1:]
    assert mixture.read is not None
    of = mixture.read.distinct[at - space.n_continuous]
    mus, sigmas, _ = parts.unique_pairs(mixture.mus[at, of], mixture.sigmas[at, of])

    def cells(values: Floats) -> tuple[Floats, Floats]:
        half = space.steps[at] / 2
        left, right = values - half, values + half
        return (np.log(left), np.log(right)) if at in space.logs else (left, right)

    left, right = cells(np.unique(numbers))
    a, b = (left[:, np.newaxis] - mus) / sigmas, (right[:, np.newaxis] - mus) / sigmas
    central = _count_central(a, b)
    if central >= _ANOTHER_ERF:  # Optuna counts equal ones once
        a, b, _ = parts.unique_pairs(a.ravel(), b.ravel())
        central = _count_central(a, b)
    left, right = cells(numbers[near])
    found = _log_mass(parts, (left - mu) / sigma, (right - mu) / sigma, central)
    low, high = space.least[at], space.most[at]
    central = _count_central((low - mus) / sigmas, (high - mus) / sigmas)
    return found, _log_mass(parts, (low - mu) / sigma, (high - mu) / sigma, central)


def _count_central(a: Floats, b: Floats) -> int:
    return int(((a <= 0) & (b > 0)).sum())


def _log_mass(parts: Inside, a: Floats, b: Floats, central: int) -> Floats:
    """Optuna's, as if these were computed among so many others that lie around the middle."""
    size = len(a)
    if central >= _ANOTHER_ERF:
        a = np.concatenate([a, np.full(_ANOTHER_ERF, -0.5)])
        b = np.concatenate([b, np.full(_ANOTHER_ERF, 0.5)])
    found: Any = parts.truncnorm._log_gauss_mass(a, b)
    return np.asarray(found[:size], np.float64)
