"""How much of the difference of two profiles the machine may explain: one run against one.

A neighbor that takes processors makes everything dearer, the study's own objective too. A change
of the code moves a phase or two. So where nearly all phases that compute moved one way by a like
factor, that factor is the machine's, and nobody's code is judged by it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

import _colours

OBJECTIVE = "objective"
_SMALLEST = 0.02  # of the whole before: smaller phases tell nothing
_LIKE = 0.3  # of the whole's way, on a log scale, that a phase must have gone
_NEARLY_ALL = 0.8  # of the phases that compute, and of their time
_LEAST = 1e-6  # of its figure before, for what is gone


def factor(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """What the machine may have multiplied all figures by; 1.0 where the phases disagree.

    It is that of the objective, or of the phases in the middle where they moved further.
    """
    whole = sum(before.values())
    known = [
        name
        for name, one in before.items()
        if one > 0 and one >= _SMALLEST * whole and _colours.plain(name) not in _colours.WAITS
    ]
    ways = {name: math.log(max(after.get(name, 0.0) / before[name], _LEAST)) for name in known}
    own = [way for name, way in ways.items() if _colours.plain(name) == OBJECTIVE]
    if not _agree(before, after, ways):
        return 1.0
    up = sum(after.get(name, 0.0) for name in known) >= sum(before[name] for name in known)
    # Of two in the middle the nearer one, so that a single phase that moved explains nothing.
    middle = statistics.median_low(ways.values()) if up else statistics.median_high(ways.values())
    return math.exp(max([middle, *own]) if up else min([middle, *own]))


def _agree(
    before: Mapping[str, float], after: Mapping[str, float], ways: Mapping[str, float]
) -> bool:
    """Whether nearly all phases went the way of the whole, the objective among them."""
    whole = sum(before[name] for name in ways)
    way = math.log(max(sum(after.get(name, 0.0) for name in ways) / whole, _LEAST))
    if way == 0 or len(ways) < 2:
        return False
    like = [name for name, one in ways.items() if one / way >= _LIKE]
    others = [name for name in ways if name not in like]
    return (
        len(like) >= max(2, _NEARLY_ALL * len(ways))
        and sum(before[name] for name in like) >= _NEARLY_ALL * whole
        and not any(_colours.plain(name) == OBJECTIVE for name in others)
    )
