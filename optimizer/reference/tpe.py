"""TPE's observations and densities, plainly: everything sorted anew, every number on its own.

Written after Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011), with the
choices that Optuna made. Sums are in the order in which they stand; what is compared with Optuna
bit for bit is the split, the bandwidths and the order of equal values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Key = tuple[int, float, float, int]
"""Kind of a finished trial, two numbers, trial number; the best is the least."""


def split(keys: Sequence[Key], n_below: int, has_all: Sequence[bool]) -> tuple[Ints, Ints]:
    """Trial numbers of the best n_below and of the others, ascending; those that have all only."""
    numbers = [key[3] for key in sorted(keys)]
    best, others = numbers[:n_below], numbers[n_below:]
    return (
        np.array(sorted(number for number in best if has_all[number]), np.int64),
        np.array(sorted(number for number in others if has_all[number]), np.int64),
    )


def bandwidths(
    mus: Floats, order: Ints, lows: Floats, highs: Floats, floors: Floats, out: Floats
) -> None:
    """The greater distance to a neighbour in value, between a floor and the width of the range.

    Args:
        mus: (parameters, n + 1), the prior last; order: (parameters, n) what sorts the others.
        lows, highs, floors: (parameters,)
        out: (parameters, n + 1)
    """
    for d, (low, high) in enumerate(zip(lows, highs, strict=True)):
        ascending = mus[d, order[d]]
        ends = np.concatenate([[low], ascending, [high]])
        sigmas = np.maximum(ends[1:-1] - ends[:-2], ends[2:] - ends[1:-1])
        if len(ascending) >= 2:
            sigmas[0] = ends[2] - ends[1]
            sigmas[-1] = ends[-2] - ends[-3]
        out[d, order[d]] = np.clip(sigmas, floors[d], high - low)
        out[d, -1] = high - low


def log_mass(a: float, b: float) -> float:
    """Logarithm of the standard normal mass between a < b."""
    if a > 0:
        return log_mass(-b, -a)
    root = math.sqrt(2)
    if b > 0:
        return math.log1p(-0.5 * math.erfc(-a / root) - 0.5 * math.erfc(b / root))
    p, q = log_tail(b), log_tail(a)
    return p + math.log1p(-math.exp(q - p))


def log_tail(a: float) -> float:
    """Logarithm of the standard normal mass below a <= 0."""
    if a > -20:
        return math.log(0.5 * math.erfc(-a / math.sqrt(2)))
    series, term = 1.0, 1.0
    for k in range(1, 12):
        term *= -(2 * k - 1) / (a * a)
        series += term
    return -0.5 * a * a - math.log(-a) - 0.5 * math.log(2 * math.pi) + math.log(series)


def log_density(
    base: Floats,
    x: Floats,
    mus: Floats,
    inverse: Floats,
    tables: Floats,
    starts: Ints,
    ids: Ints,
    choices: Ints,
    chosen: Ints,
    hits: Floats,
    out: Floats,
) -> None:
    """Log density of each candidate under a mixture of n components, the prior the last.

    Args:
        base: (n,) log weight and all that does not depend on the candidate.
        x: (continuous, candidates); mus, inverse: (continuous, n) means and 1 / sigma.
        tables: flat log masses; starts: (discrete, candidates) where a candidate's row begins;
            ids: (discrete, n) the column of a component.
        choices: (categorical, candidates); chosen: (categorical, n), -1 for the prior;
            hits: (categorical, 3) log weight of the same choice, of another, of the prior.
        out: (candidates,)
    """
    for c in range(len(out)):
        terms = base.copy()
        for d in range(len(x)):
            terms -= 0.5 * ((x[d, c] - mus[d]) * inverse[d]) ** 2
        for d in range(len(starts)):
            terms += tables[starts[d, c] + ids[d]]
        for d in range(len(choices)):
            same = np.where(chosen[d] == choices[d, c], hits[d, 0], hits[d, 1])
            terms += np.where(chosen[d] < 0, hits[d, 2], same)
        top = terms.max()
        out[c] = top + math.log(np.exp(terms - top).sum())
