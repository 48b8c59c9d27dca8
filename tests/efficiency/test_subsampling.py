"""How much of the data a trial gets, which rows, and who earns more."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore] # ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.efficiency import Subsampling, part, rows
from optimizer.errors import EfficiencyError

FRACTIONS = st.floats(0.001, 1.0)
NUMBERS = st.lists(st.floats(-1e6, 1e6), max_size=30)


@pytest.mark.parametrize(
    ("first", "by_number"),
    [
        (0.3, [0.3, 0.3, 0.6, 0.6, 1.0]),
        (0.2, [0.2, 0.2, 0.4, 0.4, 1.0]),
        (0.5, [0.5, 0.5, 1, 1, 1]),
    ],
)
def test_by_number(first: float, by_number: list[float]) -> None:
    policy = Subsampling(first, adaptive=False)
    assert [policy.fraction(number) for number in (0, 19, 20, 49, 50)] == by_number
    assert policy.fraction(0, promising=True) == 1.0


@pytest.mark.parametrize(
    ("first", "n_trials", "whole"), [(0.2, 60, 20), (0.5, None, 67), (1, 7, 7)]
)
def test_adaptive_the_first_trials_are_whole(
    first: float, n_trials: int | None, whole: int
) -> None:
    policy = Subsampling(first)
    found = [policy.fraction(number, n_trials) for number in range(whole + 1)]
    assert found == [1.0] * whole + [first]
    assert policy.fraction(1_000, n_trials, promising=True) == 1.0


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_tenth_is_promising(direction: str) -> None:
    policy, sign = Subsampling(), 1 if direction == "maximize" else -1
    others = [sign * float(value) for value in range(19)]  # with one more there are twenty
    promising = [policy.is_promising(sign * v, others, direction) for v in (18.5, 17.5, 16.5, -9)]
    assert promising == [True, True, False, False]


def test_only_the_last_values_count() -> None:
    policy = Subsampling()
    others = [float(value) for value in range(100)]
    assert not policy.is_promising(95.0, others, "maximize")  # among the best tenth of all
    assert policy.is_promising(97.5, others, "maximize")


@pytest.mark.parametrize("n", [1, 7, 100])
def test_no_more_than_a_tenth_earns_all_data(n: int) -> None:
    policy = Subsampling()
    earned = 0
    for value in range(n):  # each the best so far
        others = [float(other) for other in range(value)]
        earned += policy.is_promising(float(value), others, "maximize", earned)
    assert earned == math.ceil(n / 10)


def test_the_first_value_is_promising_and_nan_never() -> None:
    policy = Subsampling()
    assert policy.is_promising(-5.0, [], "maximize")
    assert not policy.is_promising(math.nan, [], "maximize")
    assert policy.is_promising(-5.0, [math.nan] * 9, "maximize")
    assert not policy.is_promising(1.0, [0.0, 0.5], "minimize")
    assert policy.is_promising(-math.inf, [0.0], "minimize")


@given(NUMBERS, st.floats(-1e6, 1e6))
def test_the_directions_mirror_each_other(others: list[float], value: float) -> None:
    policy = Subsampling()
    up = policy.is_promising(value, others, "maximize")
    assert up == policy.is_promising(-value, [-other for other in others], "minimize")
    if all(value >= other for other in others):
        assert up


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, math.nan])
def test_fractions_out_of_range(fraction: float) -> None:
    for call in (Subsampling, lambda f: rows(10, f), lambda f: part({}, f)):
        with pytest.raises(EfficiencyError, match="expected above 0 and at most 1"):
            call(fraction)
    with pytest.raises(EfficiencyError, match="found -1 rows"):
        rows(-1, 0.5)
    with pytest.raises(EfficiencyError, match="direction is 'up'; pass 'minimize' or"):
        Subsampling().is_promising(1.0, [], "up")


@given(st.integers(0, 10_000), FRACTIONS, FRACTIONS)
def test_a_smaller_block_lies_in_a_larger(n: int, one: float, other: float) -> None:
    small, large = (rows(n, fraction) for fraction in sorted((one, other)))
    assert small.start == large.start == 0
    assert min(n, 1) <= small.stop <= large.stop <= n
    assert rows(n, 1.0) == slice(0, n)
    assert small.stop >= math.floor(n * min(one, other))


def test_products_of_floats_do_not_add_a_row() -> None:
    assert [rows(100, fraction).stop for fraction in (0.07, 0.29, 0.57, 0.071)] == [7, 29, 57, 8]
    assert (rows(0, 0.5), rows(1, 0.001)) == (slice(0, 0), slice(0, 1))


def test_what_comes_later_does_not_change_the_part() -> None:
    rng = np.random.default_rng(0)
    data = {"close": rng.normal(size=(100, 3)), "volume": pd.Series(rng.normal(size=100))}
    changed = {name: item.copy() for name, item in data.items()}
    changed["close"][30:], changed["volume"][30:] = np.nan, np.nan
    ref, comp = part(data, 0.3), part(changed, 0.3)
    assert np.array_equal(ref["close"], comp["close"])
    assert ref["volume"].equals(comp["volume"])


Pair = namedtuple("Pair", "first second")


def test_everything_with_as_many_rows_is_cut() -> None:
    close = np.arange(40.0).reshape(10, 4)
    frame = pd.DataFrame({"a": range(10)}, index=pd.date_range("2020", periods=10))
    data: dict[str, Any] = {
        "close": close, "frame": frame, "series": frame["a"], "labels": list(range(10)),
        "days": tuple(range(10)),
        "dict": {"y": close[:, 0], "test": close[:4]}, "pair": Pair(close, "x"), "list": [close],
        "test": close[:4], "names": ["a", "b"], "fee": 0.1, "scalar": np.float64(3), "none": None,
        "text": "0123456789",
    }  # fmt: skip
    cut = part(data, 0.5)
    assert list(cut) == list(data)
    for name in ("close", "frame", "series", "labels", "days"):
        assert len(cut[name]) == 5
    assert cut["frame"].index[-1] == frame.index[4]
    assert (len(cut["dict"]["y"]), len(cut["dict"]["test"])) == (5, 4)
    assert isinstance(cut["pair"], Pair)
    assert (len(cut["pair"].first), cut["pair"].second, len(cut["list"][0])) == (5, "x", 5)
    for name in ("test", "names", "fee", "scalar", "none", "text"):
        assert cut[name] is data[name]
    assert np.shares_memory(cut["close"], close)
    assert np.shares_memory(cut["series"].to_numpy(), frame["a"].to_numpy())
    assert part(data, 1.0) is data
    assert part({"fee": 1, "empty": np.empty(0)}, 0.5)["fee"] == 1


def test_arrow_is_cut_without_a_copy() -> None:
    pa = pytest.importorskip("pyarrow")
    data = {"table": pa.table({"a": range(10)}), "column": pa.array(range(10)), "test": [1, 2]}
    cut = part(data, 0.3)
    assert (cut["table"]["a"].to_pylist(), cut["column"].to_pylist()) == ([0, 1, 2], [0, 1, 2])
    assert cut["column"].buffers()[1].address == data["column"].buffers()[1].address
    assert cut["test"] is data["test"]
