"""The growth per trial: slope, interval and the line to blame."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from script_modules import script_module

leak = script_module("_leak")
COUNTS = [10.0 * n for n in range(21)]


def line(held: list[float], name: str = "f") -> Any:
    return leak.Line(name, "study.py", 7, tuple(int(one) for one in held), 1)


def test_a_steady_growth_is_found_exactly() -> None:
    comp = leak.slope(COUNTS, [1000 + 4096 * n for n in COUNTS])
    assert comp.per_trial == pytest.approx(4096)
    assert comp.high - comp.low == pytest.approx(0, abs=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """95% of 2,000 noisy growths; their number lies within four standard errors (2%)."""
    source, hits = random.Random(7), 0
    for _ in range(2000):
        held = [0.0]
        for before, after in pairwise(COUNTS):
            held.append(
                held[-1] + sum(source.expovariate(1 / 4096) for _ in range(int(after - before)))
            )
        found = leak.slope(COUNTS, held)
        hits += found.low <= 4096 <= found.high
    assert 0.925 <= hits / 2000 <= 0.975


def test_noise_around_a_level_is_no_growth() -> None:
    source = random.Random(3)
    held = [1e6 + source.gauss(0, 50_000) for _ in COUNTS]
    assert leak.growing(COUNTS, [line(held)]) == []


def test_a_cache_that_fills_and_stays_is_no_growth() -> None:
    held = [4096 * min(count, 80) for count in COUNTS]
    assert leak.growing(COUNTS, [line(held)]) == []
    steady = [4096 * count for count in COUNTS]
    assert len(leak.growing(COUNTS, [line(steady)])) == 1


def test_the_fastest_growth_comes_first() -> None:
    lines = [line([speed * count for count in COUNTS], str(speed)) for speed in (500, 8000, 4000)]
    names = [found.function for found, _ in leak.growing(COUNTS, lines)]
    assert names == ["8000", "4000", "500"]


@pytest.mark.parametrize(
    ("freedom", "known"), [(4, 2.7764), (9, 2.2622), (19, 2.0930), (200, 1.9719)]
)
def test_students_quantile(freedom: int, known: float) -> None:
    assert leak.student(freedom) == pytest.approx(known, rel=0.01)  # the approximation's own error


def test_moments_are_ends_of_trials_after_the_warm_up() -> None:
    ends = [float(n) for n in range(1, 201)]
    comp = leak.moments(list(reversed(ends)))
    assert comp[0] == 20.0
    assert comp[-1] == 200.0
    assert len(comp) == leak.BATCHES + 1
    assert set(comp) <= set(ends)
    assert leak.moments(ends[: leak.FEWEST_TRIALS - 1]) == []


def test_fast_trials_make_fewer_batches() -> None:
    ends = [float(n) for n in range(1, 201)]
    assert len(leak.moments(ends, least=18.0)) == 10 + 1
    assert len(leak.moments(ends, least=1e6)) == leak.FEWEST_BATCHES + 1
    assert len(leak.moments(ends, least=1.0)) == leak.BATCHES + 1


def test_too_few_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="expected two or more"):
        leak.slope([1.0, 1.0], [0.0, 5.0])
