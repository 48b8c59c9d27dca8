"""How often a body is called in a pair, and what is said of the time left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate.pairs import (
    BATCH_S,
    LONGEST_BATCH_S,
    ROUNDS,
    WALL_BATCH_S,
    WALL_PAIRS,
    Plan,
    _Clock,
    wall_wanted,
)
from benchmarks.gate.rules import SLOWER_WALL

SECONDS = st.floats(0.0, 100.0)


def test_a_short_body_fills_a_batch_and_a_long_one_runs_once() -> None:
    assert Plan.of(BATCH_S / 10, BATCH_S / 10) == Plan(10, ROUNDS, 1)
    assert Plan.of(1e-5, 1e-5).wall_calls == round(WALL_BATCH_S / 1e-5)
    assert Plan.of(3.0, 3.0) == Plan(1, 1, 1)


def test_a_body_that_waits_is_not_called_as_often_as_its_cpu_time_asks() -> None:
    assert Plan.of(1e-5, LONGEST_BATCH_S / 4).calls == 4


@given(SECONDS, SECONDS)
def test_every_body_is_called_at_least_once(cpu_s: float, wall_s: float) -> None:
    plan = Plan.of(cpu_s, wall_s)
    assert min(plan.calls, plan.rounds, plan.wall_calls) >= 1
    assert plan.calls == 1 or plan.calls * wall_s <= LONGEST_BATCH_S * (1 + 1e-9)


@given(st.lists(st.floats(0.5, 4.0), min_size=WALL_PAIRS, max_size=WALL_PAIRS))
def test_wall_time_is_looked_at_until_one_look_clears_it(ratios: list[float]) -> None:
    taken: list[float] = []
    for pair in range(6):
        if wall_wanted(taken, pair):
            taken.append(ratios[pair])
    assert taken
    # The same are suspected as if every look had been taken.
    assert (min(taken) > SLOWER_WALL) == (min(ratios) > SLOWER_WALL)


def test_wall_time_of_a_pair_is_taken_once() -> None:
    assert not wall_wanted((4.0,), 0)


def test_the_time_left_is_judged_by_the_last_pair_and_the_cases_that_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([100.0, 103.0, 109.0])
    monkeypatch.setattr("benchmarks.gate.pairs.time.monotonic", lambda: next(now, 0.0))
    clock = _Clock(6)
    said = [clock.left(cases) for cases in (3, 3, 2)]
    assert said == [
        "",
        ", 3 cases, at most about 15 s left of this stage",
        ", 2 cases, at most about 16 s left of this stage",
    ]
