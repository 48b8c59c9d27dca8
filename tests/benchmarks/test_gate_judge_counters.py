"""What a counter that rose or fell means, and that it must show again."""

from __future__ import annotations

import pytest

from benchmarks.gate.judge import judge_counters
from benchmarks.gate.outcome import Outcome, SecondLook
from benchmarks.gate.rules import Verdict

PATH, CASE = "stores.AddBatch", "n=100"
NAME = f"{PATH}[{CASE}]"


def counted(before: dict[str, int], now: dict[str, int], again: SecondLook | None) -> Outcome:
    return Outcome(base_counters=before, counters=now, again=again)


def look(before: dict[str, int], now: dict[str, int]) -> SecondLook:
    return SecondLook({n: [v] for n, v in before.items()}, {n: [v] for n, v in now.items()})


def twice(before: dict[str, int], now: dict[str, int]) -> Outcome:
    """Counted again with the same result."""
    return counted(before, now, look(before, now))


def test_a_counter_that_rose_is_a_regression_with_a_sentence() -> None:
    (found,) = judge_counters(PATH, CASE, twice({"statements": 3}, {"statements": 4}))
    assert (found.code, found.verdict) == (1, Verdict.WORSE)
    assert found.sentence == f"{NAME}, statements: rose from 3 to 4 (no more allowed)"
    assert (found.before, found.now) == (3, 4)
    assert found.change == pytest.approx(1 / 3)


def test_a_counter_that_rose_from_nothing_has_no_relative_change() -> None:
    (found,) = judge_counters(PATH, CASE, twice({"commits": 0}, {"commits": 1}))
    assert (found.code, found.change) == (1, None)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("bytecodes", "1.0% more"),
        ("instructions", "1.0% more"),
        ("peak_bytes", "1.0% or 256 more"),
        ("allocations", "0.1% or 1 more"),
        ("python_calls", "no more"),
    ],
)
def test_sentences_say_what_is_allowed(name: str, allowed: str) -> None:
    (found,) = judge_counters(PATH, CASE, twice({name: 10_000}, {name: 12_000}))
    assert found.sentence == f"{NAME}, {name}: rose from 10,000 to 12,000 ({allowed} allowed)"


@pytest.mark.parametrize(
    ("before", "now", "code"),
    [
        ({"statements": 3}, {"statements": 3}, 0),  # this code does not confirm it
        ({"statements": 4}, {"statements": 4}, 0),  # nor does the baseline's, counted here
        ({"statements": 3}, {"statements": 9}, 1),
        ({"statements": 3}, {"statements": 4}, 1),
        ({"statements": 3}, {}, 1),  # it could not be counted again: fails closed
        ({}, {}, 1),
    ],
)
def test_an_increase_is_confirmed_by_counting_both_sides_again(
    before: dict[str, int], now: dict[str, int], code: int
) -> None:
    again = look(before, now)
    (found,) = judge_counters(PATH, CASE, counted({"statements": 3}, {"statements": 4}, again))
    assert found.code == code
    assert bool(found.sentence) == bool(code)


@pytest.mark.parametrize(
    ("before", "now", "code"),
    [
        ([5, 5, 5], [6, 6, 6], 1),
        ([5, 7, 5], [8, 10, 8], 1),  # it differs from call to call by itself, and rose past that
        ([5, 7, 5], [6, 8, 6], 0),
        ([5, 7, 5], [7, 9, 7], 0),
        ([5, 7, 5], [5, 7, 7], 0),
        ([5, 7, 5], [5, 9, 5], 0),
        ([5], [6], 1),
    ],
)
def test_several_counts_must_rise_past_their_own_scatter(
    before: list[int], now: list[int], code: int
) -> None:
    again = SecondLook({"statements": before}, {"statements": now})
    (found,) = judge_counters(PATH, CASE, counted({"statements": 3}, {"statements": 4}, again))
    assert found.code == code


@pytest.mark.parametrize(
    ("now", "code"), [([1_012, 1_014], 1), ([1_012, 1_012], 0), ([1_009, 1_014], 0)]
)
def test_what_may_grow_must_pass_that_in_the_least_and_in_the_most(
    now: list[int], code: int
) -> None:
    again = SecondLook({"instructions": [1_000, 1_003]}, {"instructions": now})
    counts = counted({"instructions": 1_000}, {"instructions": 1_014}, again)
    (found,) = judge_counters(PATH, CASE, counts)
    assert found.code == code


def test_an_increase_that_nobody_counted_again_fails() -> None:
    (found,) = judge_counters(PATH, CASE, counted({"statements": 3}, {"statements": 4}, None))
    assert found.code == 1


def test_fewer_is_better_but_not_for_bytecodes() -> None:
    before = {"bytecodes": 100, "commits": 2, "opens": 1}
    now = {"bytecodes": 50, "commits": 1, "opens": 1}
    verdicts = {
        f.witness: f.verdict for f in judge_counters(PATH, CASE, counted(before, now, None))
    }
    assert verdicts == {
        "bytecodes": Verdict.SAME,
        "commits": Verdict.BETTER,
        "opens": Verdict.SAME,
    }


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        ([3, 3, 3], [2, 2, 2], Verdict.BETTER),
        ([2, 2, 2], [2, 2, 2], Verdict.SAME),  # the stored count is what differs
        ([2, 3, 3], [3, 2, 3], Verdict.SAME),  # it differs from process to process by itself
        ([2, 2, 2], [3, 3, 3], Verdict.WORSE),
    ],
)
def test_a_gain_must_show_again_with_both_sides_counted_here(
    before: list[int], now: list[int], verdict: Verdict
) -> None:
    again = SecondLook({"statements": before}, {"statements": now})
    (found,) = judge_counters(PATH, CASE, counted({"statements": 3}, {"statements": 2}, again))
    assert found.verdict is verdict


def test_a_counter_of_one_side_only_is_left_out() -> None:
    assert judge_counters(PATH, CASE, counted({"fsyncs": 3}, {"opens": 3}, None)) == []
