"""The compiled kernels of the TPE sampler: arrays in, arrays out, nothing validated by raising.

Two kinds. What a suggestion is made of (the arguments of the quantile function) is computed bit for
bit as Optuna computes it: only operations that IEEE 754 fixes, and the C library's `log`, `erf` and
`erfc`, which Optuna calls one number at a time as well. Numpy's own `exp`, `log`, `log1p` and
`expm1` differ from the C library in the last digit, so they stay with the caller. What only decides
which candidate wins (`log_density` and what it reads) is computed in any order; the caller decides
again, exactly, where two candidates come close.

No `fastmath`. A kernel and all it calls stay in this one file, because numba's disk cache notices
changes to this file only. The plain twins are in `optimizer.reference.tpe`.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_inline = numba.njit(error_model="numpy")

_ROOT_2 = 2**0.5
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_LOG_ROOT_2PI = math.log(math.sqrt(2 * math.pi))
_EPSILON = float(np.finfo(np.float64).eps)
_BLOCK = 256
_LOG2_E = 1 / math.log(2)
_LN_2_HIGH = 6.93147180369123816490e-01  # its last bits are 0, so that k times it is exact
_LN_2_LOW = 1.90821492927058770002e-10
_WHOLE = 1.5 * 2.0**52
_NEGLIGIBLE = 36.0
"""Terms this far below the greatest, as logarithms, change no sum that is compared."""


# --- the normal distribution, as Optuna's `_truncnorm` computes it one number at a time


@_inline
def _ndtr(a: float) -> float:
    x = a / _ROOT_2
    if x < -1 / _ROOT_2:
        return 0.5 * math.erfc(-x)
    if x < 1 / _ROOT_2:
        return 0.5 + 0.5 * math.erf(x)
    return 1.0 - 0.5 * math.erfc(x)


@_inline
def _log_ndtr(a: float) -> float:
    if a > 6:
        return -_ndtr(-a)
    if a > -20:
        return math.log(_ndtr(a))
    left = -0.5 * (a * a) - math.log(-a) - _HALF_LOG_2PI
    last, total, numerator, denominator = 0.0, 1.0, 1.0, 1.0
    constant = 1 / (a * a)
    sign = 1
    i = 0
    while abs(last - total) > _EPSILON:
        i += 1
        last = total
        sign = -sign
        denominator *= constant
        numerator *= 2 * i - 1
        total += sign * numerator * denominator
    return left + math.log(total)


@_inline
def _log_mass(a: float, b: float) -> float:
    """Logarithm of the normal mass between a < b."""
    if b <= 0:
        p, q = _log_ndtr(b), _log_ndtr(a)
        return p + math.log1p(-math.exp(q - p))
    if a > 0:
        p, q = _log_ndtr(-a), _log_ndtr(-b)
        return p + math.log1p(-math.exp(q - p))
    outside = 0.5 * (math.erfc(-a / _ROOT_2) + math.erfc(b / _ROOT_2))
    if outside < 0.75:
        return math.log1p(-outside)
    return math.log(0.5 * (math.erf(b / _ROOT_2) - math.erf(a / _ROOT_2)))


# --- what the density of a mixture is read from


@_compiled
def normalise(
    rows: Ints,
    mus: Floats,
    sigmas: Floats,
    low: float,
    high: float,
    known_sigmas: Floats,
    known_terms: Floats,
    inverse: Floats,
    base: Floats,
) -> None:
    """Add to `base` what a truncated normal density has beside the square; keep what was there.

    `known_terms` holds, for each row, the term of its bandwidth in `known_sigmas`.
    """
    n = len(rows)
    for k in range(n):
        row = rows[k]
        sigma = sigmas[k]
        if known_sigmas[row] != sigma:
            mass = _log_mass((low - mus[k]) / sigma, (high - mus[k]) / sigma)
            known_terms[row] = -math.log(sigma) - _LOG_ROOT_2PI - mass
            known_sigmas[row] = sigma
        inverse[k] = 1.0 / sigma
        base[k] += known_terms[row]
    mass = _log_mass((low - mus[n]) / sigmas[n], (high - mus[n]) / sigmas[n])
    inverse[n] = 1.0 / sigmas[n]
    base[n] += -math.log(sigmas[n]) - _LOG_ROOT_2PI - mass


@_compiled
def mass_table(
    left: Floats,
    right: Floats,
    mus: Floats,
    sigmas: Floats,
    of: Ints,
    low: float,
    high: float,
    depth: float,
    table: Floats,
    starts: Ints,
) -> None:
    """Log mass of the cell of each candidate under the components that `of` names.

    Args:
        left, right: (candidates,) the cells, equal ones computed once.
        depth: a cell this far below the whole, as logarithms, is only bounded from above: it
            decides nothing.
        table: flat, a row of len(of) for each distinct cell; starts: where each row begins.
    """
    count = len(of)
    rows = 0
    fresh = np.empty(len(left), np.int64)
    for c in range(len(left)):
        starts[c] = -1
        for earlier in range(rows):
            if left[fresh[earlier]] == left[c]:
                starts[c] = earlier * count
        if starts[c] < 0:
            fresh[rows] = c
            starts[c] = rows * count
            rows += 1
    for u in range(count):
        mu, sigma = mus[of[u]], sigmas[of[u]]
        whole = _log_mass((low - mu) / sigma, (high - mu) / sigma)
        for j in range(rows):
            a, b = (left[fresh[j]] - mu) / sigma, (right[fresh[j]] - mu) / sigma
            near = max(a, -b)
            if near > 0 and 0.5 * (near * near) + whole > depth:
                table[j * count + u] = -0.5 * (near * near) - whole
            else:
                table[j * count + u] = _log_mass(a, b) - whole


@_inline
def _sum_of_exponentials(terms: Floats, count: int, top: float, whole: Floats) -> float:
    """Sum of exp(term - top), terms far below it as `_NEGLIGIBLE` below; relative error 1e-12.

    Made of operations that a processor does on several numbers at once, which the C library's exp
    is not: exp(t) = 2**k * exp(r), k by adding a number so great that only whole ones remain, whose
    last bits are then the exponent of the power of two.
    """
    bits = whole.view(np.int64)
    for i in range(count):
        t = max(terms[i] - top, -_NEGLIGIBLE)
        shifted = t * _LOG2_E + _WHOLE
        k = shifted - _WHOLE
        r = t - k * _LN_2_HIGH - k * _LN_2_LOW
        p = 2.755731922398589e-07
        p = p * r + 2.7557319223985893e-06
        p = p * r + 2.48015873015873e-05
        p = p * r + 0.0001984126984126984
        p = p * r + 0.001388888888888889
        p = p * r + 0.008333333333333333
        p = p * r + 0.041666666666666664
        p = p * r + 0.16666666666666666
        p = p * r + 0.5
        p = p * r + 1.0
        terms[i] = p * r + 1.0
        whole[i] = shifted
    for i in range(count):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(count):
        terms[i] *= whole[i]
    one, two, three, four = 0.0, 0.0, 0.0, 0.0
    fours = count - count % 4
    for i in range(0, fours, 4):
        one += terms[i]
        two += terms[i + 1]
        three += terms[i + 2]
        four += terms[i + 3]
    for i in range(fours, count):
        one += terms[i]
    return (one + two) + (three + four)


@_compiled
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
    n = len(base)
    room, terms, whole = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    left = np.empty(_BLOCK, np.int64)
    tops = np.full(len(out), -np.inf)
    totals = np.zeros(len(out))
    for stop in range(n, 0, -_BLOCK):  # the prior first: it says what is negligible
        start = max(0, stop - _BLOCK)
        size = stop - start
        for c in range(len(out)):
            top = tops[c]
            for i in range(size):
                room[i] = base[start + i]
            for d in range(len(x)):
                at = x[d, c]
                mu = mus[d, start:stop]
                inv = inverse[d, start:stop]
                for i in range(size):
                    z = (at - mu[i]) * inv[i]
                    room[i] -= 0.5 * (z * z)
            count = 0
            bound = top - _NEGLIGIBLE
            for i in range(size):  # tables and hits only take away
                left[count] = i
                terms[count] = room[i]
                count += room[i] > bound
            for d in range(len(starts)):
                begin = starts[d, c]
                for j in range(count):
                    terms[j] += tables[begin + ids[d, start + left[j]]]
            for d in range(len(choices)):
                choice = choices[d, c]
                for j in range(count):
                    other = chosen[d, start + left[j]]
                    terms[j] += hits[d, 0 if other == choice else 2 if other < 0 else 1]
            most = top
            for j in range(count):
                most = max(most, terms[j])
            if most > top:
                totals[c] *= math.exp(top - most)
                tops[c] = most
            totals[c] += _sum_of_exponentials(terms, count, most, whole)
    for c in range(len(out)):
        out[c] = tops[c] + math.log(totals[c])


# --- drawing from a truncated normal: the parts that numpy's functions stand between


@_compiled
def quantile_start(
    active: Ints,
    mus: Floats,
    sigmas: Floats,
    lows: Floats,
    highs: Floats,
    mu: Floats,
    sigma: Floats,
    lower: Floats,
    outside: Floats,
) -> bool:
    """Gather the components drawn; the argument of log1p and log_ndtr(a) of each.

    False where a component lies outside of its bounds: the caller leaves those to Optuna.
    """
    candidates = len(active)
    for d in range(len(mus)):
        for c in range(candidates):
            at = d * candidates + c
            m, s = mus[d, active[c]], sigmas[d, active[c]]
            a, b = (lows[d] - m) / s, (highs[d] - m) / s
            if not (a < 0 < b):
                return False
            mu[at], sigma[at] = m, s
            lower[at] = _log_ndtr(a)
            outside[at] = -(0.5 + 0.5 * math.erf(a / _ROOT_2)) - (
                0.5 + 0.5 * math.erf(-b / _ROOT_2)
            )
    return True


@_compiled
def quantile_argument(x: Floats, z: Floats, difference: Floats, exponent: Floats) -> None:
    """What one step of Newton's method needs: log_ndtr(x) - z, and the argument of exp."""
    for i in range(len(x)):
        value = _log_ndtr(x[i])
        difference[i] = value - z[i]
        exponent[i] = value - (-0.5 * (x[i] * x[i]) - _LOG_ROOT_2PI)


@_compiled
def quantile_step(x: Floats, difference: Floats, factor: Floats) -> bool:
    """One step; True where all have arrived."""
    arrived = True
    for i in range(len(x)):
        step = difference[i] * factor[i]
        x[i] -= step
        if not abs(step) < 1e-8 * abs(x[i]):
            arrived = False
    return arrived
