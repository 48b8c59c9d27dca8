"""Lag, fixed fee, highs and lows: what each changes, on markets small enough to work out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from optimizer.backtest.prices import synthetic_market
from optimizer.backtest.tracker import Reason, Tracker, TradeLog, track_trades
from optimizer.errors import PriceError

NAN = math.nan


@pytest.fixture(name="compiled", params=[True, False], autouse=True)
def _compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the kernel and with the twin."""
    if not request.param:
        monkeypatch.setattr("optimizer.backtest.tracker.available", lambda _: False)


def tracked(prices: list[float], orders: dict[int, float], **settings: Any) -> TradeLog:
    """One asset; orders as bar -> weight."""
    close = [[price] for price in prices]
    weights = np.array([*orders.values()], float).reshape(-1, 1)
    settings.setdefault("capital", 100.0)
    log = track_trades(close, [*orders], weights, **settings)
    log.check()
    return log


def columns(*prices: float) -> list[list[float]]:
    return [[price] for price in prices]


@pytest.mark.parametrize("lag", [0, 1])
def test_an_equity_that_overflows_only_before_its_trades_is_refused_all_the_same(lag: int) -> None:
    """Two thirds of the holdings together are no float; closing one of them makes them one."""
    close = [[1.0] * 3] * (1 + lag) + [[3.4e303] * 3] * 2
    weights = [[0.5, 0.5, -0.5], [0.0, NAN, NAN]]
    message = rf"the equity at bar {1 + lag} is inf, beyond the range"
    with pytest.raises(PriceError, match=message):
        track_trades(close, [0, 1], weights, lag=lag)
    with pytest.raises(PriceError, match=message):
        Tracker(close, lag=lag).track([0, 1], weights)


def test_an_equity_that_overflows_later_is_named_by_its_first_bar() -> None:
    close = [[1.0] * 3, [3.4e303] * 3, [1.0] * 3, [3.4e303] * 3]
    with pytest.raises(PriceError, match=r"the equity at bar 1 is inf, beyond the range"):
        track_trades(close, [0, 3], [[0.5, 0.5, -0.5], [0.0, NAN, NAN]])


# --- lag


def test_lag_trades_at_the_next_close_on_the_equity_there() -> None:
    log = tracked([10, 20, 25, 50], {0: 1.0, 2: 0.0}, lag=1)
    (trade,) = log.trades
    assert (trade["entry_bar"], trade["exit_bar"]) == (1, 3)
    assert (trade["size"], trade["entry_price"], trade["exit_price"]) == (5.0, 20.0, 50.0)
    assert log.equity.tolist() == [100.0, 100.0, 125.0, 250.0]


def test_what_the_last_bar_orders_is_never_traded_with_a_lag() -> None:
    assert len(tracked([10, 20], {1: 1.0}, lag=1)) == 0
    assert len(tracked([10, 20], {1: 1.0}, lag=0)) == 1
    log = tracked([10, 20, 30], {0: 1.0, 1: 0.5, 2: 0.0}, lag=1)
    assert log.trades["reason"].tolist() == [Reason.REDUCED, Reason.END_OF_DATA]


def test_a_price_that_is_missing_at_the_next_bar_is_not_waited_for() -> None:
    assert len(tracked([10, NAN, 20], {0: 1.0}, lag=1)) == 0


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize(
    ("bars", "weights", "message"),
    [
        ([-1, 1], [1.0, 0.0], r"rebalance_bars\[0\] is -1"),
        ([0, 3], [1.0, 0.0], r"rebalance_bars\[1\] is 3"),
        ([2, 0], [1.0, 0.0], r"rebalance_bars\[1\] is 0 after 2"),
        ([2, 2], [1.0, 0.0], r"rebalance_bars\[1\] is 2 after 2"),
        ([1, 1], [1.0, 0.0], r"rebalance_bars\[1\] is 1 after 1"),
        ([0, 2], [1.0, math.inf], r"weights\[1, 0\] is inf"),
    ],
)
def test_a_lag_hides_no_wrong_order(
    lag: int, bars: list[int], weights: list[float], message: str
) -> None:
    close = columns(10.0, 11.0, 12.0)
    with pytest.raises(PriceError, match=message):
        track_trades(close, bars, np.reshape(weights, (-1, 1)), lag=lag)


@pytest.mark.parametrize("lag", [2, -1, 0.5, None, "1"])
def test_a_lag_is_0_or_1(lag: Any) -> None:
    with pytest.raises(PriceError, match="lag is "):
        tracked([10, 11], {0: 1.0}, lag=lag)


def test_a_lag_is_the_same_as_orders_a_bar_later() -> None:
    close = synthetic_market(200, 4, seed=3, nan_fraction=0.1, volatility=0.03).close
    bars = np.arange(0, 199, 3)
    weights = np.random.default_rng(1).normal(0.0, 0.3, (len(bars), 4))
    late = track_trades(close, bars, weights, lag=1, fee_rate=0.001)
    moved = track_trades(close, bars + 1, weights, fee_rate=0.001)
    assert late.trades.tobytes() == moved.trades.tobytes()
    assert late.equity.tobytes() == moved.equity.tobytes()


# --- fixed fee


def test_each_trade_pays_the_fixed_fee_and_a_flip_pays_it_twice() -> None:
    orders = {0: 0.5, 1: 1.0, 2: 0.25, 3: -0.5, 4: 0.0}
    log = tracked(
        [10, 10, 10, 10, 10], orders, fixed_fee=2.0, fee_rate=0.5, capital_mode="starting"
    )
    part, rest, short = log.trades
    # Entries 25 + 2 and 25 + 2; the reduction takes three quarters of them, and 37.5 + 2.
    assert part["fees"] == 54.0 * 0.75 + 39.5
    assert rest["fees"] == 54.0 * 0.25 + 12.5 + 2.0
    assert short["fees"] == 27.0 + 27.0
    assert log.equity[-1] == 100.0 - 4 * 2.0 - 2 * 2.0 - 0.5 * (50 + 50 + 75 + 25 + 50 + 50)


def test_what_is_left_open_pays_no_exit() -> None:
    log = tracked([10, 11], {0: 1.0}, fixed_fee=2.0)
    assert log.trades["fees"].tolist() == [2.0]


@pytest.mark.parametrize("fee", [-1.0, NAN, math.inf, "much"])
def test_a_fixed_fee_is_an_amount(fee: Any) -> None:
    with pytest.raises(PriceError, match="fixed_fee is "):
        tracked([10, 11], {0: 1.0}, fixed_fee=fee)


# --- highs and lows


def test_excursions_reach_the_highs_and_lows_after_the_entry() -> None:
    high, low = columns(99, 15, 13, 14), columns(1, 9, 4, 10)
    log = tracked([10, 12, 9, 11], {0: 1.0, 3: 0.0}, high=high, low=low)
    (trade,) = log.trades
    assert (trade["mfe"], trade["mae"]) == (50.0, -60.0)  # not those of the bar of the entry
    short = tracked([10, 12, 9, 11], {0: -0.5, 3: 0.0}, high=high, low=low)
    assert (short.trades[0]["mfe"], short.trades[0]["mae"]) == (30.0, -25.0)
    plain = tracked([10, 12, 9, 11], {0: 1.0, 3: 0.0})
    assert (plain.trades[0]["mfe"], plain.trades[0]["mae"]) == (20.0, -10.0)
    assert log.equity.tobytes() == plain.equity.tobytes()


def test_the_reach_of_the_exit_counts_and_that_of_an_increase_starts_anew() -> None:
    high, low = columns(10, 30, 12), columns(10, 10, 8)
    log = tracked([10, 10, 12], {0: 0.5, 1: 1.0, 2: 0.0}, high=high, low=low)
    (trade,) = log.trades
    # 5 units reached +100 at the second bar, then 10 units +20 and -20 at the third.
    assert (trade["mfe"], trade["mae"]) == (100.0, -20.0)


def test_a_missing_high_or_close_tells_nothing() -> None:
    high, low = columns(10, NAN, 90, 12), columns(10, 9, 1, NAN)
    log = tracked([10, 11, NAN, 12], {0: 1.0, 3: 0.0}, high=high, low=low)
    assert (log.trades[0]["mfe"], log.trades[0]["mae"]) == (20.0, -10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": None}, "high came without low"),
        ({"high": None}, "low came without high"),
        ({"high": [[1.0, 2.0]]}, r"high has shape \(1, 2\) beside a close of shape \(2, 1\)"),
        ({"high": columns(11, 10.5)}, r"high\[1, 0\] is 10.5 beside a close of 11.0"),
        ({"low": columns(10.5, 9)}, r"low\[0, 0\] is 10.5 beside a close of 10.0"),
        ({"low": columns(9, 0)}, r"low\[1, 0\] is 0.0"),
        ({"high": columns(math.inf, 12)}, r"high\[0, 0\] is inf"),
        ({"high": [["a"], ["b"]]}, "high holds"),
    ],
)
def test_highs_and_lows_that_cannot_be(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"high": columns(11, 12), "low": columns(9, 9)}
    close = columns(10, 11)
    track_trades(close, [0], [[1.0]], **given)
    for track in (
        lambda **reach: track_trades(close, [0], [[1.0]], **reach),
        lambda **reach: Tracker(close, **reach),
    ):
        with pytest.raises(PriceError, match=message):
            track(**{**given, **change})


# --- where the bars come from


def test_without_bars_each_row_of_weights_is_one() -> None:
    weights = [[0.5], [NAN], [0.0]]
    every = track_trades([[10.0], [11.0], [12.0]], weights=weights)
    given = track_trades([[10.0], [11.0], [12.0]], [0, 1, 2], weights)
    assert every.trades.tobytes() == given.trades.tobytes()
    with pytest.raises(PriceError, match=r"weights has shape \(2, 1\) beside 3 bars, and rebal"):
        track_trades([[10.0], [11.0], [12.0]], weights=weights[:2])
    with pytest.raises(PriceError, match="weights is missing"):
        track_trades([[10.0]], [0])
