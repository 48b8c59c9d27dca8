"""What a suggestion costs where n trials are finished, ours and Optuna's.

python -m benchmarks._suggestion_cost [N ...]      a line for each n, and how the cost grows
"""

from __future__ import annotations

import itertools
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import sampling as _sampling

TAKEN, ROUNDS = 4, 3
SIZES = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Cost:
    """Of one suggestion of ten mixed parameters where `n` trials are finished, told included."""

    n: int
    ours_ms: float
    optunas_ms: float
    own: int  # suggestions of ours from its own path,
    exact: int  # of these, how many Optuna's arithmetic had to decide,
    handed_over: int  # and those that Optuna's sampler made

    @property
    def speedup(self) -> float:
        return self.optunas_ms / self.ours_ms


class DifferentSuggestionsError(Exception):
    """The two samplers did not suggest the same."""


def milliseconds_per_suggestion(
    n: int, *, taken: int = TAKEN, densities: str = "multivariate"
) -> Cost:
    """Wall milliseconds of a suggestion: both samplers by turns, after one turn not counted.

    Of each turn's `taken` suggestions the mean, and the median of the turns. `densities` is
    "multivariate", as Optuna has it by default, or "univariate". Raises
    `DifferentSuggestionsError` where the two did not suggest the same: then no figure counts.
    """
    both = _sampling._Both()
    both.setup(n, densities)
    found: dict[Any, list[Any]] = {}
    spent_ms: dict[Any, list[float]] = {both.study: [], both.slow: []}
    for _ in range(1 + ROUNDS):  # the first imports, compiles and takes all trials in
        for study, spent in spent_ms.items():
            start = time.perf_counter()
            found[study] = both._suggested(study, taken)
            spent.append((time.perf_counter() - start) * 1e3 / taken)
        if found[both.study] != found[both.slow]:
            raise DifferentSuggestionsError(
                f"at n = {n} the samplers differ, expected equal values"
            )
    ours_ms, optunas_ms = (statistics.median(spent[1:]) for spent in spent_ms.values())
    counters = both.study.sampler.counters
    return Cost(
        n=n,
        ours_ms=ours_ms,
        optunas_ms=optunas_ms,
        own=counters.own,
        exact=counters.exact,
        handed_over=counters.handed_over,
    )


def growth(costs: Sequence[tuple[int, float]]) -> float:
    """The exponent of n by which a cost grows, over the sizes given: 1.0 is linear."""
    slopes = [
        math.log(after / before) / math.log(n / m)
        for (m, before), (n, after) in itertools.pairwise(costs)
    ]
    return statistics.fmean(slopes)


def lines_of(costs: Sequence[Cost]) -> list[str]:
    """A line for each n, then how both grow from the last size but one to the last."""
    lines = [
        f"n = {cost.n:>7,}: {cost.ours_ms:8.2f} ms, Optuna {cost.optunas_ms:9.2f} ms, "
        f"{cost.speedup:5.1f}x; own path {cost.own} of {cost.own + cost.handed_over}, "
        f"{cost.exact} decided by Optuna's arithmetic"
        for cost in costs
    ]
    if len(costs) > 1:
        former, last = costs[-2:]
        ours = growth([(former.n, former.ours_ms), (last.n, last.ours_ms)])
        theirs = growth([(former.n, former.optunas_ms), (last.n, last.optunas_ms)])
        sizes = f"from {former.n:,} to {last.n:,}"
        lines.append(f"{sizes} ours grows as n^{ours:.2f}, Optuna's as n^{theirs:.2f}")
    return lines


def main(words: Sequence[str]) -> int:
    sizes = [int(word) for word in words] or list(SIZES)
    print("\n".join(lines_of([milliseconds_per_suggestion(n) for n in sizes])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
