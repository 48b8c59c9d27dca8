"""The arithmetic that separates noise from a regression."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._replay import slower
from benchmarks.gate.rules import (
    CAREFUL,
    FAST,
    CpuRule,
    Paired,
    counter_decreased,
    counter_increased,
    log_ratio,
    trimmed_mean,
)

RULE = CpuRule(6, 0.012, 0.020, 24, 0.018, 0.006)
LOGS = st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=40)
SECONDS = st.lists(st.floats(1e-6, 1e2), min_size=1, max_size=30)


def paired(*changes: float) -> Paired:
    """From relative changes, as people say them."""
    return Paired(tuple(math.log1p(change) for change in changes))


def test_mean_median_and_error_of_hand_made_logs() -> None:
    sample = Paired((0.0, 0.01, 0.05))
    assert sample.mean == pytest.approx(math.expm1(0.02))
    assert sample.median == pytest.approx(math.expm1(0.01))
    assert sample.se == pytest.approx(statistics.stdev(sample.logs) / math.sqrt(3))
    assert Paired((0.01,)).se == math.inf


@pytest.mark.parametrize(
    ("changes", "suspect"),
    [
        ((0.0,) * 6, False),
        ((0.0119,) * 6, False),
        ((0.0121,) * 6, True),
        ((0.0,) * 5 + (0.10,), True),  # the mean sees it, the median does not
        ((-0.20, -0.10, 0.013, 0.013, 0.013, 0.013), True),  # the median sees it, the mean not
        ((-0.05,) * 6, False),
    ],
)
def test_suspect_by_mean_or_by_median(changes: tuple[float, ...], suspect: bool) -> None:
    assert paired(*changes).suspect(RULE) is suspect


@pytest.mark.parametrize(
    ("changes", "slower"),
    [
        ((0.03,) * 24, True),
        ((0.0181,) * 24, True),
        ((0.0179,) * 24, False),  # clear of noise, but too small
        ((0.0, 0.10) * 12, True),
        ((-0.20, 0.30) * 12, False),  # large, but not clear of noise
        ((-0.03,) * 24, False),
    ],
)
def test_slower_needs_a_large_mean_that_stands_clear_of_noise(
    changes: tuple[float, ...], slower: bool
) -> None:
    assert paired(*changes).slower(RULE) is slower


def test_one_wild_pair_of_twenty_four_hides_nothing_and_accuses_nobody() -> None:
    noise = [0.02 * math.sin(i) for i in range(21)]
    slower = [0.05 + change for change in noise]
    assert paired(*slower, -0.30, 0.05, 0.05).slower(RULE)
    assert paired(*slower, -0.30, -0.30, 0.05).slower(RULE)
    assert not paired(*noise, 0.50, 0.50, 0.50).slower(RULE)


def test_the_error_of_a_trimmed_mean_is_yuens() -> None:
    logs = (-1.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 9.0)
    winsorized = (0.01, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.06)
    expected = statistics.stdev(winsorized) / ((1 - 2 / 8) * math.sqrt(8))
    assert Paired(logs).se == pytest.approx(expected)
    assert Paired(logs).mean == pytest.approx(math.expm1(statistics.fmean(logs[1:-1])))


def test_the_error_covers_the_mean_as_often_as_it_says() -> None:
    rng = random.Random(5)
    samples = [Paired(tuple(rng.gauss(0.0, 0.02) for _ in range(24))) for _ in range(2_000)]
    outside = sum(abs(math.log1p(one.mean)) > 2 * one.se for one in samples) / len(samples)
    assert 0.045 < outside < 0.09  # 0.06 for Student's t with the 17 degrees that are left


@pytest.mark.parametrize(
    ("changes", "calm"),
    [
        ((0.008, 0.008), True),  # not by their own scatter alone, which is none
        ((0.010, 0.010), False),
        ((-0.01, 0.01), True),
        ((-0.02, 0.02), False),  # they scatter more than they tell
        ((-0.02, 0.02, -0.02, 0.02), True),  # twice as many do tell
        ((-0.05, 0.019, 0.019), False),  # the median counts, too
        ((0.013,) * 5, False),  # it is suspected
        ((-0.10,), False),  # too few
    ],
)
def test_what_is_hardly_slower_is_looked_at_no_longer(
    changes: tuple[float, ...], calm: bool
) -> None:
    assert paired(*changes).calm(RULE) is calm
    assert not paired(*changes).calm(replace(RULE, every_pair=True))


@pytest.mark.parametrize(
    ("changes", "convicted"),
    [
        ((0.5,) * 6, True),
        ((0.5, 0.4) * 3, True),
        ((0.5,) * 5, False),  # too few
        ((0.09,) * 6, False),  # it may wait for all pairs
        ((0.0,) * 4 + (0.5,) * 2, False),  # a few wild pairs
        ((0.3, 0.02) * 3, False),
    ],
)
def test_only_what_is_far_above_all_noise_ends_a_stage_with_a_failure(
    changes: tuple[float, ...], convicted: bool
) -> None:
    found = paired(*changes)
    assert found.convicted(RULE) is convicted
    assert found.settled(RULE) is convicted
    assert not convicted or found.slower(RULE)


def test_a_single_pair_never_fails() -> None:
    assert not paired(5.0).slower(RULE)


@pytest.mark.parametrize(
    ("changes", "faster"),
    [
        ((-0.10,) * 6, True),
        ((-0.04,) * 6, False),  # below what is worth storing
        ((-0.60, 0.50) * 3, False),  # not clear of noise
        ((0.10,) * 6, False),
    ],
)
def test_faster_is_large_and_clear_of_noise(changes: tuple[float, ...], faster: bool) -> None:
    assert paired(*changes).faster is faster


@given(LOGS, st.floats(-0.5, 0.5))
def test_a_shift_of_all_logs_moves_the_mean_and_leaves_the_error(
    logs: list[float], shift: float
) -> None:
    before, after = Paired(tuple(logs)), Paired(tuple(log + shift for log in logs))
    factor = math.exp(shift)
    assert 1 + after.mean == pytest.approx((1 + before.mean) * factor, rel=1e-9)
    assert 1 + after.median == pytest.approx((1 + before.median) * factor, rel=1e-9)
    assert after.se == pytest.approx(before.se, abs=1e-12)  # rounding of the shifted logs


@given(LOGS)
def test_what_is_slower_is_slower_still_when_every_pair_is(logs: list[float]) -> None:
    before, after = Paired(tuple(logs)), Paired(tuple(log + 0.01 for log in logs))
    assert not (before.slower(RULE) and not after.slower(RULE))
    assert not (before.suspect(RULE) and not after.suspect(RULE))


def test_trimmed_mean_drops_a_fifth_at_each_end() -> None:
    assert trimmed_mean([5.0]) == 5.0
    assert trimmed_mean([1.0, 3.0]) == 2.0
    assert trimmed_mean([1.0, 2.0, 3.0, 1e9]) > 1e8  # four rounds: none is dropped
    assert trimmed_mean([-1e9, 2.0, 3.0, 4.0, 1e9]) == 3.0
    assert trimmed_mean([1e9, 4.0, 2.0, 3.0, -1e9]) == 3.0
    assert trimmed_mean([0.0, 0.0, *range(1, 7), 99.0, 99.0]) == 3.5


@given(SECONDS)
def test_trimmed_mean_lies_between_the_extremes(values: list[float]) -> None:
    assert min(values) * (1 - 1e-12) <= trimmed_mean(values) <= max(values) * (1 + 1e-12)


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_log_ratio_is_antisymmetric(head: float, base: float) -> None:
    assert log_ratio(head, base) == pytest.approx(-log_ratio(base, head), abs=1e-12)
    assert log_ratio(head, head) == 0.0


def test_log_ratio_is_positive_where_head_is_slower() -> None:
    assert log_ratio(2.0, 1.0) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("name", "before", "now", "increased"),
    [
        ("statements", 5, 5, False),
        ("statements", 5, 6, True),
        ("statements", 0, 1, True),
        ("steps", 100_000, 100_001, True),
        ("commits", 2, 1, False),
        ("bytecodes", 10_000, 10_100, False),  # exactly one percent
        ("bytecodes", 10_000, 10_101, True),
        ("bytecodes", 10_000, 9_000, False),
        ("bytecodes", 0, 1, True),
        ("instructions", 10_000, 10_100, False),
        ("instructions", 10_000, 10_101, True),
        ("peak_bytes", 100_000, 101_000, False),
        ("peak_bytes", 100_000, 101_001, True),
        ("peak_bytes", 10_000, 10_256, False),  # 256 bytes are no news
        ("peak_bytes", 10_000, 10_257, True),
        ("allocations", 10, 11, False),
        ("allocations", 10, 12, True),
        ("allocations", 10_000, 10_010, False),
        ("allocations", 10_000, 10_011, True),
    ],
)
def test_counters_may_not_grow_but_for_what_is_not_exact(
    name: str, before: int, now: int, increased: bool
) -> None:
    assert counter_increased(name, before, now) is increased
    instrumental = name in ("bytecodes", "instructions")  # fewer of them is no news by itself
    assert counter_decreased(name, now, before) is (increased and not instrumental)


def fails(rule: CpuRule, draw: Callable[[], float]) -> bool:
    """All stages, on logs from `draw`."""
    sizes = rule.first_pairs, rule.second_pairs, rule.second_pairs
    first, second, third = ([draw() for _ in range(size)] for size in sizes)
    return slower(first, second, third, rule)


def noise(rng: random.Random, variation: float, change: float) -> Callable[[], float]:
    """Gaussian pairs with an outlier in forty, as a shared machine has them."""

    def draw() -> float:
        spread = variation * (4 if rng.random() < 1 / 40 else 1)
        return math.log1p(change) + rng.gauss(0.0, spread)

    return draw


@pytest.mark.parametrize("rule", [CAREFUL, FAST], ids=["careful", "fast"])
def test_unchanged_code_passes_and_a_planted_slowdown_is_caught(rule: CpuRule) -> None:
    """Simulated pairs at the variation measured on shared machines, up to 2.7%."""
    rng = random.Random(20)
    for variation in (0.010, 0.018, 0.027):
        alarms = sum(fails(rule, noise(rng, variation, 0.0)) for _ in range(1_500))
        assert alarms <= 1, f"{alarms} of 1,500 at {variation}"
    for variation in (0.010, 0.018):
        caught = sum(fails(rule, noise(rng, variation, 0.05)) for _ in range(300))
        assert caught >= 0.95 * 300, f"{caught} of 300 at {variation}"
        caught = sum(fails(rule, noise(rng, variation, 0.10)) for _ in range(300))
        assert caught == 300


def test_the_third_stage_keeps_what_noise_lets_through_the_second() -> None:
    """Pairs that scatter much, as in the minutes of a busy neighbor; a slowdown still shows."""
    rng = random.Random(20)
    draw, slowed = noise(rng, 0.10, 0.0), noise(rng, 0.018, 0.03)
    second = confirmed = 0
    while second < 40:
        taken = Paired(tuple(draw() for _ in range(24)))
        if taken.slower(CAREFUL):
            second += 1
            confirmed += taken.confirmed(Paired(tuple(draw() for _ in range(24))), CAREFUL)
    assert confirmed <= 8, f"{confirmed} of {second}"
    caught = sum(
        Paired(tuple(slowed() for _ in range(24))).confirmed(
            Paired(tuple(slowed() for _ in range(24))), CAREFUL
        )
        for _ in range(100)
    )
    assert caught >= 90


def test_a_third_stage_confirms_with_its_own_mean_and_both_together() -> None:
    second = paired(*[0.030, 0.034] * 12)
    assert second.confirmed(paired(*[0.028, 0.032] * 12), RULE)
    assert not second.confirmed(paired(*[0.007, 0.010] * 12), RULE)  # less than half the limit
    assert not second.confirmed(paired(*[-0.30, 0.40] * 12), RULE)  # together they scatter too much
    low = paired(*[0.019, 0.020] * 12)
    assert not low.confirmed(paired(*[0.010, 0.011] * 12), RULE)  # together below the limit


def test_a_third_stage_ends_early_only_where_it_will_not_confirm() -> None:
    assert paired(*[0.0] * 8).denied(RULE)
    assert not paired(*[0.0] * 7).denied(RULE)
    assert not paired(*[0.0095] * 24).denied(RULE)
    assert not paired(*[0.30] * 24).denied(RULE)


def test_the_second_stage_keeps_what_the_first_would_let_through() -> None:
    """One stage alone would fail unchanged code: the simulation above can fail."""
    rng = random.Random(20)
    draw = noise(rng, 0.018, 0.0)
    suspects = sum(
        Paired(tuple(draw() for _ in range(CAREFUL.first_pairs))).suspect(CAREFUL)
        for _ in range(1_500)
    )
    assert suspects > 50
