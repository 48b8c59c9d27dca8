"""Suites of the backtest: the same work on both sides, and agreement that looks at who and when."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore] # ships no types
import pytest
from suite_sources import PATHS

from benchmarks import backtest, features, sweep
from benchmarks._registry import OpenCase

LOOKUPS = ("cell", "row", "lists")


def opened(name: str, case: str) -> OpenCase:
    return PATHS[name].case(case).open()


# --- the day loop


@functools.cache
def sides(lookup: str) -> tuple[OpenCase, Any, Any]:
    """A year of the day loop: what is set up, and both answers."""
    body = opened("backtest.DayLoop", f"days=252,lookup={lookup}")
    return body, body.before(), body.after()


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_every_slow_side_has_the_same_orders_and_the_labels_are_kept(lookup: str) -> None:
    body, before, after = sides(lookup)
    assert body.agree(before, after)
    assert len(after) > 100
    assert after.labels.assets == tuple(body._instance.close.columns)
    assert list(after.labels.bars) == list(body._instance.close.index)
    assert sides("cell")[2].trades.tobytes() == after.trades.tobytes()


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize(
    ("name", "added"),
    [
        *(("asset", 1), ("side", 1), ("entry_bar", -1), ("exit_bar", -1), ("exit_price", 1e-9)),
        *(("size", 1e-5), ("entry_price", 1e-5), ("margin_load", 1e-5), ("net_pnl", 1e-3)),
        *(("fees", 1e-3), ("mfe", 1e-3), ("mae", 1e-3)),
    ],
)
def test_one_wrong_field_of_one_record_is_noticed(lookup: str, name: str, added: float) -> None:
    body, before, after = sides(lookup)
    trades = after.trades.copy()
    if name == "asset":
        trades["asset"][7] = (trades["asset"][7] + 1) % 20
    elif name == "side":
        trades["side"][7] *= -1
    else:
        trades[name][7] += added
    assert trades.tobytes() != after.trades.tobytes()
    assert not body.agree(before, dataclasses.replace(after, trades=trades))


def test_a_wrong_equity_of_one_day_is_noticed() -> None:
    body, before, after = sides("cell")
    for name in ("equity", "margin_load"):
        curve = getattr(after, name).copy()
        curve[100] *= 1.0 + 1e-7
        assert not body.agree(before, dataclasses.replace(after, **{name: curve}))


class Counted:
    """A frame of which every look-up is noted."""

    def __init__(self, frame: Any, seen: Counter[Any]) -> None:
        self.index, self.columns, self.loc = frame.index, frame.columns, self
        self._frame, self._seen = frame, seen

    def __getitem__(self, place: Any) -> Any:
        self._seen[place] += 1
        return self._frame.loc[place]


@pytest.mark.parametrize("by_row", [False, True])
def test_the_loop_looks_a_price_up_once(by_row: bool) -> None:
    """Which is as often as a competent author's naive loop needs it."""
    instance = sides("cell")[0]._instance
    seen: Counter[Any] = Counter()
    records, *_ = backtest._DayLoop(Counted(instance.close, seen), instance.weights, by_row).run(pd)
    assert len(records) > 100
    assert len(seen) > 252 - 22
    assert set(seen.values()) == {1}


# --- features


def rolling(name: str, close: Any) -> Any:
    instance = features.Rolling()
    instance.name, instance.close = name, np.array(close)
    return instance


def test_where_prices_stand_still_there_is_no_score_and_no_volatility() -> None:
    close = np.repeat([[3.0, 5.0]], 60, axis=0)
    close[:, 1] += np.arange(60.0)  # the other one moves
    frame = pd.DataFrame(close)
    right = {"rolling_mean": 3.0, "zscore": np.nan, "volatility": 0.0, "momentum": 0.0}
    assert set(right) == set(features._ROLLING)
    for name, value in right.items():
        body = rolling(name, close)
        before = features._pandas_rolling(frame, name)
        after = before.to_numpy(copy=True)
        after[25:, 0] = value
        assert body.agree(before, after), name
        for wrong in (1.0, 0.5, np.nan if value == value else 0.0):
            after[40, 0] = wrong
            assert not body.agree(before, after), (name, wrong)


def test_what_pandas_left_behind_is_excused_where_prices_stand_still_alone() -> None:
    close = np.repeat([[3.0]], 60, axis=0)
    body = rolling("volatility", close)
    after = np.zeros((60, 1))
    left_behind = pd.DataFrame(np.full((60, 1), 1e-8))
    after[:20] = left_behind[:20] = np.nan
    assert body.agree(left_behind, after)
    body.close = np.arange(1.0, 61.0)[:, None]
    assert not body.agree(left_behind, after)


@pytest.mark.parametrize("name", ["features.Rolling", "features.Smoothed"])
def test_room_for_the_result_is_a_case_of_its_own(name: str) -> None:
    feature = PATHS[name].case().label.partition(",")[0]
    assert PATHS[name].case().label == f"{feature},memory=new"
    new, kept = (opened(name, f"{feature},memory={memory}") for memory in ("new", "kept"))
    first, second = new.after(), new.after()
    assert not np.may_share_memory(first, second)
    assert np.may_share_memory(kept.after(), kept.after())
    assert first.tobytes() == kept.after().tobytes()


@pytest.mark.parametrize("name", ["features.Rolling", "features.Smoothed"])
def test_every_feature_but_the_cheapest_is_timed(name: str) -> None:
    untimed = {case.label for case in PATHS[name].cases if not case.timed}
    cheapest = {"feature=momentum,memory=new"}
    assert {label for label in untimed if not label.endswith("kept")} <= cheapest


# --- the sweep


def test_what_is_drawn_comes_from_the_whole_space() -> None:
    bodies = [opened("sweep.SweepDrawn", f"combinations={n}")._instance for n in (9, 90, 630)]
    numbers = [body.chosen.tolist() for body in bodies]
    assert [len({*each}) for each in numbers] == [9, 90, 630]
    assert numbers[0] == numbers[1][:9] == numbers[2][:9]
    assert numbers[1] == numbers[2][:90]
    trials = bodies[2].trials
    assert len({trial[:2] for trial in trials}) > 200  # pairs of averages
    assert len({trial[2] for trial in trials}) == 7
    assert len({trial[3:] for trial in trials}) > 80


def test_a_case_of_the_sweep_takes_several_chunks_and_is_measured() -> None:
    case = PATHS["sweep.SweepSpace"].case("space=chunks")
    assert case.counted
    assert case.timed
    assert case.compared
    body: Any = case.open()._instance
    told: list[tuple[int, int]] = []
    # One thread: chunks of two that end together are told together.
    result = body.sweep(body.close, body.space, threads=1, progress=lambda *at: told.append(at))
    assert len(result) == 17_010
    assert len([at for at in told if at[0]]) >= 2
    assert sweep._WHOLE == 255_150
