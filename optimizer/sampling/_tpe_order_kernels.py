"""The compiled kernels of the TPE sampler that order observations: arrays in, arrays out.

Nothing is validated by raising. Only comparisons, differences and bounds, so the results are those
of the plain twins in `optimizer.reference.tpe`, bit for bit. A kernel and all it calls stay in this
one file, because numba's disk cache notices changes to this file only.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


# --- kept orders


@_compiled
def keep_sorted(order: Ints, count: int, values: Floats, rows: Ints) -> int:
    """Put each row where its value belongs in `order[:count]`; the new count."""
    for row in rows:
        value = values[row]
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if values[order[middle]] <= value:
                low = middle + 1
            else:
                high = middle
        for place in range(count, low, -1):
            order[place] = order[place - 1]
        order[low] = row
        count += 1
    return count


# --- bandwidths: one for each observation, from its neighbours in value


@_compiled
def bandwidths(
    mus: Floats, order: Ints, lows: Floats, highs: Floats, floors: Floats, out: Floats
) -> None:
    """The bandwidth of each observation, and of the prior, which is the last of each row.

    Args:
        mus: (parameters, n + 1) in any order; order: (parameters, n) what sorts them.
        lows, highs, floors: (parameters,) bounds, and the least bandwidth.
        out: (parameters, n + 1)
    """
    n = order.shape[1]
    for d in range(len(mus)):
        widest = highs[d] - lows[d]
        before = lows[d]
        after = mus[d, order[d, 0]] if n > 0 else highs[d]
        for place in range(n):
            at = order[d, place]
            mu = after
            after = mus[d, order[d, place + 1]] if place < n - 1 else highs[d]
            if n >= 2 and place == 0:
                sigma = after - mu
            elif n >= 2 and place == n - 1:
                sigma = mu - before
            else:
                sigma = max(mu - before, after - mu)
            out[d, at] = min(max(sigma, floors[d]), widest)
            before = mu
        out[d, n] = widest


@_compiled
def order_of_members(
    order: Ints, count: int, rank: Ints, values: Floats, floor: float, widest: float, out: Ints
) -> bool:
    """The ranks of the rows that have one, in the order of their values.

    False where it matters which of several equal values comes first: where the bandwidths they
    share out among them differ. `out` is then incomplete.
    """
    filled = 0
    begin = 0  # of the run of equal values that is open
    gap = 0.0  # from the run before it
    last = 0.0
    for place in range(count + 1):
        row = order[place] if place < count else -1
        k = rank[row] if row >= 0 else -1
        if row >= 0 and k < 0:
            continue
        value = values[row] if row >= 0 else last
        if row < 0 or (filled > 0 and value != last):
            length = filled - begin
            step = value - last
            if length > 1:
                first = min(max(gap, floor), widest)
                final = min(max(step, floor), widest)
                between = min(max(0.0, floor), widest)
                if first != final or (length > 2 and first != between):
                    return False
            begin = filled
            gap = step
        if row >= 0:
            last = value
            out[filled] = k
            filled += 1
    return True


# --- equal pairs


@_compiled
def distinct(mus: Floats, sigmas: Floats, order: Ints, ids: Ints, of: Ints) -> int:
    """Number the pairs of mu and sigma; `of` names one component of each number.

    `order` sorts all components but the prior, which is the last and has a number of its own.
    Among equal mus a few bandwidths differ, so only the last numbers are looked at: a pair may be
    numbered twice, and never are two numbered alike.
    """
    n = len(order)
    count = 0
    mu, second_mu, third_mu = np.nan, np.nan, np.nan
    sigma, second_sigma, third_sigma = np.nan, np.nan, np.nan
    for place in range(n):
        k = order[place]
        m, s = mus[k], sigmas[k]
        if m == mu and s == sigma:
            ids[k] = count - 1
        elif m == second_mu and s == second_sigma:
            ids[k] = count - 2
        elif m == third_mu and s == third_sigma:
            ids[k] = count - 3
        else:
            third_mu, third_sigma = second_mu, second_sigma
            second_mu, second_sigma = mu, sigma
            mu, sigma = m, s
            of[count] = k
            ids[k] = count
            count += 1
    of[count] = n
    ids[n] = count
    return count + 1
