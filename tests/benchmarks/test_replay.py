"""Replayed suites on pairs whose properties are known, and asv's rule beside asv's own code."""

from __future__ import annotations

import random
from typing import Any

import pytest
from asv.commands.compare import _is_result_better  # type: ignore[import-untyped] # asv ships no types
from asv_runner.statistics import compute_stats  # type: ignore[import-untyped] # asv ships no types
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import _records, _replay
from benchmarks._records import LedgerError
from benchmarks._replay import BOOTSTRAP, WINDOWS
from benchmarks.gate.rules import CAREFUL, Paired

_stats: Any = pytest.importorskip("asv._stats")  # older versions of asv have it elsewhere

CASES = [f"toy.Path{i}[n=1]" for i in range(6)]


def record(rng: random.Random, *, load: str = "quiet", noise: float = 0.01) -> dict[str, Any]:
    """A run of unchanged code: both sides' CPU seconds, one pair of them a pair of processes."""
    pairs = {
        case: {"first": [[1e-3 * rng.lognormvariate(0, noise), 1e-3] for _ in range(6)]}
        for case in CASES
    }
    made_with = dict.fromkeys((*_records.GROUP, "code"), "same")
    return made_with | {"load": load, "pairs": pairs}


def records(count: int, **how: Any) -> list[dict[str, Any]]:
    rng = random.Random(3)
    return [record(rng, **how) for _ in range(count)]


# --- the gate's rule


@pytest.mark.parametrize("how", [WINDOWS, BOOTSTRAP])
def test_unchanged_code_is_practically_never_red_and_a_tenth_always(how: str) -> None:
    loads = _replay.sequences(records(20))
    assert _replay.replay(loads, CAREFUL, 200, how).red == 0
    slowed = _replay.replay(loads, CAREFUL, 40, how, share=0.10)
    assert slowed.slower == slowed.cases == 40 * len(CASES)
    assert slowed.red == 40


def test_a_replay_can_be_red_and_can_miss() -> None:
    loud = _replay.sequences(records(20, noise=0.2))
    assert _replay.replay(loud, CAREFUL, 50, BOOTSTRAP, share=0.03).slower < 50 * len(CASES)
    biased = records(20)
    for one in biased:
        for pair in one["pairs"][CASES[0]]["first"]:
            pair[0] *= 1.05
    found = _replay.replay(_replay.sequences(biased), CAREFUL, 20, WINDOWS)
    assert found.red == 20
    assert found.by_case[CASES[0]] == (20, 20)
    assert found.by_case[CASES[1]] == (20, 0)


def test_a_replay_is_the_same_every_time() -> None:
    loads = _replay.sequences(records(10, noise=0.03))
    first, second = (_replay.replay(loads, CAREFUL, 30, BOOTSTRAP, share=0.03) for _ in range(2))
    assert first == second


@given(
    st.lists(st.floats(-0.05, 0.15), min_size=6, max_size=6),
    st.lists(st.floats(-0.02, 0.08), min_size=24, max_size=24)
    | st.lists(st.floats(0.05, 0.25), min_size=24, max_size=24),
    st.lists(st.floats(-0.02, 0.08), min_size=24, max_size=24),
)
def test_a_case_is_judged_as_the_gate_measures_it(
    first: list[float], second: list[float], third: list[float]
) -> None:
    """Pair by pair, as `pairs.py` does: it looks before each pair whether more are needed."""
    ref = False
    looked: list[float] = []
    for pair in first:
        if looked and Paired(tuple(looked)).calm(CAREFUL):
            break
        looked.append(pair)
    if Paired(tuple(looked)).suspect(CAREFUL):
        taken: list[float] = []
        for pair in second:
            if taken and Paired(tuple(taken)).settled(CAREFUL):
                break
            taken.append(pair)
        ref = Paired(tuple(taken)).slower(CAREFUL)
        if ref and not Paired(tuple(taken)).convicted(CAREFUL):
            again: list[float] = []
            for pair in third:
                if again and Paired(tuple(again)).denied(CAREFUL):
                    break
                again.append(pair)
            ref = Paired(tuple(taken)).confirmed(Paired(tuple(again)), CAREFUL)
    assert _replay.slower(first, second, third, CAREFUL) == ref


def test_loads_are_not_mixed_and_second_stages_are_left_out() -> None:
    one, other = records(2)
    other["load"] = "same-core"
    one["pairs"][CASES[0]]["second"] = [[9.0, 1.0]] * 24
    quiet, busy = _replay.sequences([one, other])
    assert {len(values) for values in quiet.values()} == {6}
    assert quiet.keys() == busy.keys() == set(CASES)


def test_groups_are_not_mixed() -> None:
    one, other = records(2)
    other["environment"] = {"python": "3.12"}
    assert len(_replay.sequences([one, other])) == 2
    assert _replay.asv_on([one, other]).suites == 0


def test_a_run_that_lacks_a_case_is_left_out_whole() -> None:
    """Else that case's pairs would be of other minutes than the others' beside them."""
    runs = records(4)
    whole = [run for run in runs if run not in runs[1:3]]
    del runs[1]["pairs"][CASES[0]]
    runs[2]["pairs"] = {}  # the gate broke
    assert _replay.whole(runs) == whole
    (logs,) = _replay.sequences(runs)
    assert {len(values) for values in logs.values()} == {12}
    assert _replay.asv_on(runs).suites == 1
    assert _replay.sequences([runs[2]]) == []


def test_independent_windows_share_no_pair() -> None:
    runs = [*records(13), *records(9, load="same-core")]
    for pair in runs[12]["pairs"][CASES[0]]["first"]:
        pair[0] *= 2.0  # beyond the last whole window
    loads = _replay.sequences(runs)
    apart = _replay.independent(loads, CAREFUL)
    assert (apart.suites, apart.red) == (13 * 6 // 54 + 9 * 6 // 54, 0)
    slowed = _replay.independent(loads, CAREFUL, share=0.10)
    assert slowed.by_case[CASES[0]] == (2, 2)
    assert slowed.red == 2


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(LedgerError, match="at least 54 pairs"):
        _replay.replay(_replay.sequences(records(4)), CAREFUL, 10, WINDOWS)


@pytest.mark.parametrize(
    ("red", "of", "bound"),
    [(0, 1, 0.95), (0, 40, 0.0722), (0, 1_000, 0.00299), (1, 20, 0.2161), (10, 10, 1.0)],
)
def test_the_bound_is_the_exact_binomial_one(red: int, of: int, bound: float) -> None:
    assert _replay.upper_bound(red, of) == pytest.approx(bound, rel=2e-3)


@pytest.mark.parametrize(
    ("caught", "of", "bound"),
    [(0, 5, 0.0), (1, 1, 0.05), (40, 40, 0.9278), (19, 20, 0.7839), (299, 299, 0.9900)],
)
def test_the_lower_bound_is_the_exact_one(caught: int, of: int, bound: float) -> None:
    assert _replay.lower_bound(caught, of) == pytest.approx(bound, rel=2e-3)


# --- asv's rule


def asv_says(before: list[float], now: list[float]) -> bool:
    """The same by asv's own functions."""
    (old, old_stats), (new, new_stats) = (compute_stats(s, 1) for s in (before, now))
    return bool(_is_result_better(old, new, (old_stats, before), (new_stats, now), 1.1))


samples = st.lists(st.sampled_from([1.0, 1.05, 1.1, 1.12, 1.2, 1.3, 2.0]), min_size=8, max_size=23)


@given(samples, samples)
def test_p_is_the_p_of_asv(x: list[float], y: list[float]) -> None:
    _, ref = _stats.mann_whitney_u(x, y)
    assert _replay.mann_whitney_p(x, y) == pytest.approx(ref, abs=1e-12)


@given(samples, samples, st.sampled_from([1.0, 1.1, 1.2, 2.0]))
def test_the_rule_is_the_rule_of_asv(x: list[float], y: list[float], slower: float) -> None:
    now = [value * slower for value in y]
    assert _replay.asv_slower(x, now) == asv_says(x, now)


def test_the_rule_of_asv_can_say_both() -> None:
    before = [1.0 + i / 1000 for i in range(12)]
    assert _replay.asv_slower(before, [value * 1.2 for value in before])
    assert not _replay.asv_slower(before, [value * 1.05 for value in before])


def test_samples_that_the_test_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(LedgerError, match="too few"):
        _replay.asv_slower([1.0] * 6, [2.0] * 6)
    assert not asv_says([1.0 + i / 100 for i in range(6)], [2.0 + i / 100 for i in range(6)])


def test_each_run_is_compared_with_the_next_under_its_load() -> None:
    runs = [*records(3), *records(2, load="same-core")]
    counted = _replay.asv_on(runs)
    assert (counted.suites, counted.comparisons) == (3, 3 * len(CASES))
    assert counted.flagged == counted.red == 0
    slowed = _replay.asv_on(runs, share=0.2)
    assert slowed.red == 3
    assert slowed.flagged == 3 * len(CASES)


def test_a_run_of_other_code_is_not_compared() -> None:
    runs = records(4)
    runs[2]["code"] = "another"
    assert _replay.asv_on(runs).suites == 1
