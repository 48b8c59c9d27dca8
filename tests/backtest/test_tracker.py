"""What the tracker's docstring promises, on markets small enough to work out by hand."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import pickle
from typing import Any

import numpy as np
import pytest

from optimizer._compat import available
from optimizer.backtest.tracker import TRADE_DTYPE, Reason, Status, TradeLog, track_trades
from optimizer.errors import PriceError, TradeLogError

NAN = math.nan


def tracked(close: Any, orders: dict[int, Any], **settings: Any) -> TradeLog:
    """Track columns given as rows per bar and orders given as bar -> weights."""
    n_assets = np.shape(close)[1]
    weights = np.array(list(orders.values()), dtype=float).reshape(len(orders), n_assets)
    settings.setdefault("capital", 100.0)
    log = track_trades(close, list(orders), weights, **settings)
    log.check()
    return log


def column(*prices: float) -> list[list[float]]:
    return [[price] for price in prices]


def only(log: TradeLog) -> np.void:
    assert len(log) == 1
    record = log.trades[0]
    assert isinstance(record, np.void)
    return record


def test_no_rebalance_is_cash_and_no_trade() -> None:
    log = track_trades([[10.0, 5.0], [11.0, 6.0]], [], np.empty((0, 2)), capital=100.0)
    log.check()
    assert len(log) == 0
    assert log.trades.dtype == TRADE_DTYPE
    assert log.equity.tolist() == [100.0, 100.0]
    assert log.margin_load.tolist() == [0.0, 0.0]


def test_end_of_data_leaves_an_open_slice_at_the_last_price() -> None:
    log = tracked(column(10, 12, 9, 11), {0: [1.0]}, fee_rate=0.01)
    trade = only(log)
    assert (trade["status"], trade["reason"]) == (Status.OPEN, Reason.END_OF_DATA)
    assert (trade["entry_bar"], trade["exit_bar"], trade["bars_held"]) == (0, 3, 3)
    assert (trade["size"], trade["entry_price"], trade["exit_price"]) == (10.0, 10.0, 11.0)
    assert (trade["fees"], trade["gross_pnl"], trade["net_pnl"]) == (1.0, 10.0, 9.0)
    assert (trade["mfe"], trade["mae"], trade["margin_load"]) == (20.0, -10.0, 1.0)
    assert log.equity.tolist() == [99.0, 119.0, 89.0, 109.0]
    assert log.margin_load.tolist() == [100 / 99, 120 / 119, 90 / 89, 110 / 109]


def test_weight_zero_closes() -> None:
    log = tracked(column(10, 12, 11), {0: [1.0], 1: [0.0]}, fee_rate=0.25, slippage_rate=0.125)
    trade = only(log)
    assert (trade["status"], trade["reason"]) == (Status.CLOSED, Reason.CLOSED)
    assert (trade["exit_bar"], trade["exit_price"]) == (1, 12.0)
    assert (trade["fees"], trade["slippage"]) == (25.0 + 30.0, 12.5 + 15.0)
    assert (trade["gross_pnl"], trade["net_pnl"]) == (20.0, 20.0 - 55.0 - 27.5)
    assert log.equity.tolist() == [62.5, 37.5, 37.5]
    assert log.margin_load[2] == 0.0


def test_a_short_gains_when_the_price_falls() -> None:
    trade = only(tracked(column(10, 13, 6, 8), {0: [-0.5], 3: [0.0]}))
    assert (trade["side"], trade["size"]) == (-1, 5.0)
    assert (trade["gross_pnl"], trade["mfe"], trade["mae"]) == (10.0, 20.0, -15.0)
    assert trade["margin_load"] == 0.5


def test_a_reduction_ends_a_slice_and_takes_its_share() -> None:
    log = tracked(
        column(10, 20, 5), {0: [1.0], 1: [0.5], 2: [0.0]}, capital_mode="starting", fee_rate=0.25
    )
    part, rest = log.trades
    assert (part["reason"], rest["reason"]) == (Reason.REDUCED, Reason.CLOSED)
    assert part["position"] == rest["position"] == 0
    assert (part["size"], rest["size"]) == (7.5, 2.5)
    assert part["entry_price"] == rest["entry_price"] == 10.0
    assert part["entry_bar"] == rest["entry_bar"] == 0
    assert part["fees"] == 25.0 * 0.75 + 7.5 * 20 * 0.25
    assert rest["fees"] == 25.0 * 0.25 + 2.5 * 5 * 0.25
    assert (part["mfe"], part["mae"]) == (75.0, 0.0)
    assert (rest["mfe"], rest["mae"]) == (25.0, -12.5)
    assert (part["margin_load"], rest["margin_load"]) == (0.75, 0.25)


def test_an_increase_moves_the_entry_price_to_the_average_cost() -> None:
    log = tracked(column(10, 20, 20), {0: [0.5], 1: [2.0]}, capital_mode="starting", fee_rate=0.25)
    trade = only(log)
    assert (trade["size"], trade["entry_price"], trade["entry_bar"]) == (10.0, 15.0, 0)
    assert trade["fees"] == 12.5 + 25.0
    assert trade["gross_pnl"] == 50.0
    # 50 of 100 at the first bar, then 100 more of 137.5 (100 + 50 gain - 12.5 fee).
    assert trade["margin_load"] == 0.5 + 100.0 / 137.5


def test_an_increase_does_not_apply_its_price_to_earlier_excursions() -> None:
    """One unit gained 10 and lost 5 before 100 more were bought at 5: no more was ever gained."""
    log = tracked(
        column(10, 20, 5, 5), {0: [0.1], 2: [5.05]}, capital_mode="starting", capital=100.0
    )
    trade = only(log)
    assert trade["size"] == 101.0
    assert trade["mfe"] == 10.0
    assert trade["mae"] == pytest.approx(-5.0, abs=1e-12)


def test_a_flip_is_a_close_and_an_open_at_one_bar() -> None:
    log = tracked(column(10, 20, 30), {0: [1.0], 1: [-1.0]}, capital_mode="starting", fee_rate=0.25)
    old, new = log.trades
    assert (old["reason"], old["status"], old["side"]) == (Reason.FLIPPED, Status.CLOSED, 1)
    assert (new["reason"], new["status"], new["side"]) == (Reason.END_OF_DATA, Status.OPEN, -1)
    assert (old["position"], new["position"]) == (0, 1)
    assert old["exit_bar"] == new["entry_bar"] == 1
    assert (old["size"], new["size"]) == (10.0, 5.0)
    assert (old["fees"], new["fees"]) == (25.0 + 50.0, 25.0)
    assert (old["gross_pnl"], new["gross_pnl"]) == (100.0, -50.0)


def test_capital_modes_size_on_equity_or_on_the_start() -> None:
    close, orders = column(10, 20, 20), {0: [1.0], 1: [0.0], 2: [1.0]}
    on_equity = tracked(close, orders, capital_mode="equity")
    on_start = tracked(close, orders, capital_mode="starting")
    assert on_equity.trades["size"].tolist() == [10.0, 10.0]
    assert on_start.trades["size"].tolist() == [10.0, 5.0]
    assert on_equity.trades["margin_load"].tolist() == [1.0, 1.0]
    assert on_start.trades["margin_load"].tolist() == [1.0, 0.5]


def test_all_assets_of_a_bar_are_sized_on_the_equity_before_its_trades() -> None:
    log = tracked([[10.0, 10.0], [10.0, 10.0]], {0: [0.5, 0.5]}, fee_rate=0.5)
    assert log.trades["size"].tolist() == [5.0, 5.0]
    assert log.trades["asset"].tolist() == [0, 1]
    assert log.equity.tolist() == [50.0, 50.0]


def test_a_missing_price_keeps_the_last_value_and_trades_nothing() -> None:
    log = tracked(column(10, NAN, 12, NAN), {0: [1.0], 1: [0.0], 3: [-1.0]})
    trade = only(log)
    assert log.equity.tolist() == [100.0, 100.0, 120.0, 120.0]
    assert (trade["reason"], trade["exit_bar"], trade["exit_price"]) == (
        Reason.END_OF_DATA,
        3,
        12.0,
    )


def test_before_its_first_price_an_asset_cannot_be_traded() -> None:
    log = tracked(column(NAN, 10, 20), {0: [1.0], 1: [1.0]})
    assert only(log)["entry_bar"] == 1
    assert log.equity.tolist() == [100.0, 100.0, 200.0]
    never = tracked(column(NAN, NAN), {0: [1.0]})
    assert len(never) == 0
    assert never.equity.tolist() == [100.0, 100.0]


def test_a_missing_weight_leaves_the_position_alone() -> None:
    log = tracked([[10.0, 10.0], [20.0, 20.0]], {0: [0.5, 0.5], 1: [NAN, 0.0]})
    assert log.trades["asset"].tolist() == [1, 0]
    assert log.trades["reason"].tolist() == [Reason.CLOSED, Reason.END_OF_DATA]


def test_dust_is_not_traded_but_zero_always_closes() -> None:
    dust = tracked(column(10, 10, 10), {0: [1.0], 1: [1.0 + 1e-13], 2: [1.0 + 1e-9]})
    assert only(dust)["size"] == 10.0 * (1.0 + 1e-9)
    # The same in a market of tiny prices and money: the limit is relative to the equity.
    small = tracked(column(1e-8, 1e-8), {0: [1.0], 1: [0.5]}, capital=1e-9)
    assert small.trades["reason"].tolist() == [Reason.REDUCED, Reason.END_OF_DATA]
    worthless = tracked(column(10, 1e-15), {0: [0.5], 1: [0.0]})
    assert only(worthless)["reason"] == Reason.CLOSED


@pytest.mark.parametrize("mode", ["equity", "starting"])
def test_a_bankrupt_portfolio_only_closes(mode: str) -> None:
    rows = [[10.0, 10.0], [30.0, 10.0], [30.0, 10.0], [5.0, 10.0], [5.0, 10.0]]
    orders = {
        0: [-1.0, 0.5],
        1: [-0.1, 1.0],  # equity -100: neither reduced nor increased
        2: [1.0, 0.0],  # not flipped; the other is closed
        4: [0.0, 1.0],  # the price fell, the equity is back: traded again
    }
    log = tracked(rows, orders, capital_mode=mode)
    assert log.equity.tolist() == [100.0, -100.0, -100.0, 150.0, 150.0]
    assert log.trades["asset"].tolist() == [1, 0, 1]
    assert log.trades["exit_bar"].tolist() == [2, 4, 4]
    assert log.trades["size"].tolist() == [5.0, 10.0, 15.0 if mode == "equity" else 10.0]
    assert np.isnan(log.margin_load).tolist() == [False, True, True, False, False]


def test_one_bar_is_enough() -> None:
    trade = only(tracked([[10.0]], {0: [1.0]}))
    assert (trade["bars_held"], trade["gross_pnl"]) == (0, 0.0)


def test_a_log_cannot_be_changed() -> None:
    log = tracked(column(10, 11), {0: [1.0]})
    for array in (log.trades, log.equity, log.margin_load):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]


def test_a_record_has_no_padding() -> None:
    assert TRADE_DTYPE.names is not None
    assert sum(TRADE_DTYPE[name].itemsize for name in TRADE_DTYPE.names) == TRADE_DTYPE.itemsize


# --- what is refused

GOOD: dict[str, Any] = {
    "close": [[10.0, 20.0], [11.0, 21.0], [12.0, 22.0]],
    "rebalance_bars": [0, 2],
    "weights": [[0.5, 0.5], [0.0, NAN]],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close": [10.0, 11.0]}, r"close has shape \(2,\)"),
        ({"close": np.empty((0, 2))}, r"close has shape \(0, 2\)"),
        ({"close": np.empty((3, 0))}, r"close has shape \(3, 0\)"),
        ({"close": [["a", "b"]]}, "close holds <U1"),
        ({"close": [[1.0, 2.0], [1.0]]}, "close cannot be read"),
        ({"close": [[1.0 + 0j, 2.0]]}, "close holds complex128"),
        ({"close": [[object(), 2.0]]}, "close cannot be read"),
        ({"close": [[10.0, 20.0], [0.0, 21.0], [12.0, 22.0]]}, r"close\[1, 0\] is 0.0"),
        ({"close": [[10.0, 20.0], [11.0, -3.0], [12.0, 22.0]]}, r"close\[1, 1\] is -3.0"),
        ({"close": [[10.0, 20.0], [11.0, 21.0], [12.0, math.inf]]}, r"close\[2, 1\] is inf"),
        ({"close": [[10.0, -math.inf], [11.0, 2.0], [12.0, 1.0]]}, r"close\[0, 1\] is -inf"),
        ({"weights": [[0.5, 0.5]]}, r"weights has shape \(1, 2\)"),
        ({"weights": [[0.5], [0.5]]}, r"weights has shape \(2, 1\)"),
        ({"weights": [[0.5, 0.5], [0.5, math.inf]]}, r"weights\[1, 1\] is inf"),
        ({"weights": [[-math.inf, 0.5], [0.5, 0.5]]}, r"weights\[0, 0\] is -inf"),
        ({"rebalance_bars": [0, 3]}, r"rebalance_bars\[1\] is 3, but close has the bars 0 to 2"),
        ({"rebalance_bars": [-1, 2]}, r"rebalance_bars\[0\] is -1"),
        ({"rebalance_bars": [2, 0]}, r"rebalance_bars\[1\] is 0 after 2"),
        ({"rebalance_bars": [1, 1]}, r"rebalance_bars\[1\] is 1 after 1"),
        ({"rebalance_bars": [0.0, 1.0]}, "dtype float64"),
        ({"rebalance_bars": [True, False]}, "np.flatnonzero"),
        ({"rebalance_bars": [[0], [1]]}, r"shape \(2, 1\)"),
        ({"capital": 0.0}, "capital is 0.0"),
        ({"capital": NAN}, "capital is nan"),
        ({"capital": math.inf}, "capital is inf"),
        ({"capital": "much"}, "capital is 'much'"),
        ({"fee_rate": -0.1}, "fee_rate is -0.1"),
        ({"fee_rate": NAN}, "fee_rate is nan"),
        ({"fee_rate": None}, "fee_rate is None"),
        ({"slippage_rate": 1.0}, "slippage_rate is 1.0"),
        ({"capital_mode": "reinvest"}, "capital_mode is 'reinvest'"),
        ({"weights": [[1e308, 0.5], [0.0, 0.0]], "capital": 1e10}, "equity at bar 0 is"),
    ],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_what_cannot_be_traded_on_is_refused_with_its_place(
    change: dict[str, Any], message: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimizer.backtest.tracker.available", lambda _: compiled)
    track_trades(**GOOD)
    with pytest.raises(PriceError, match=message):
        track_trades(**{**GOOD, **change})


# --- check() sees what is wrong


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("side", 0, "side is"),
        ("status", 2, "status is"),
        ("status", Status.OPEN, "only what the data's end left"),
        ("reason", 9, "reason is"),
        ("entry_bar", 2, "entry_bar <= exit_bar"),
        ("exit_bar", 3, "exit_bar < bars"),
        ("bars_held", 0, "bars_held ="),
        ("size", 0.0, "size is above 0"),
        ("fees", -1.0, "not negative"),
        ("fees", 1.0, "net_pnl ="),
        ("gross_pnl", 1.0, "gross_pnl ="),
        ("net_pnl", 1.0, "net_pnl ="),
        ("mfe", -1.0, "mae <= 0 <= mfe"),
        ("mfe", 0.0, "between mae and mfe"),
        ("position", 1, "position 0 is ended by 0 records"),
        ("position", -1, "numbered -1 to 0"),
        ("asset", 1, "changes its asset"),
    ],
)
def test_check_names_the_broken_rule(field: str, value: float, message: str) -> None:
    log = tracked(column(10, 20, 15), {0: [1.0], 1: [0.5], 2: [0.0]}, capital_mode="starting")
    assert log.trades["reason"].tolist() == [Reason.REDUCED, Reason.CLOSED]
    trades = log.trades.copy()
    # The first record is only a part of the position, the second ends it.
    trades[field][1 if field == "position" else 0] = value
    with pytest.raises(TradeLogError, match=message):
        dataclasses.replace(log, trades=trades).check()


def test_check_compares_the_sums_with_the_equity() -> None:
    log = tracked(column(10, 20, 15), {0: [1.0]})
    equity = log.equity.copy()
    equity[-1] += 0.01
    with pytest.raises(TradeLogError, match="the equity changed by"):
        dataclasses.replace(log, equity=equity).check()
    load = log.margin_load.copy()
    load[1] = NAN
    with pytest.raises(TradeLogError, match=r"margin_load is nan where equity is 200\.0, bar 1"):
        dataclasses.replace(log, margin_load=load).check()
    with pytest.raises(TradeLogError, match="net pnl is"):
        dataclasses.replace(log, trades=log.trades[:0]).check()


def test_masked_prices_and_weights_are_missing_ones() -> None:
    close = np.ma.masked_equal([[10, 10], [999, 11], [12, 12]], 999)
    weights = np.ma.masked_equal([[0.5, 0.5], [0.0, -9.0]], -9.0)
    log = track_trades(close, [0, 2], weights)
    plain = track_trades(
        [[10.0, 10.0], [NAN, 11.0], [12.0, 12.0]], [0, 2], [[0.5, 0.5], [0.0, NAN]]
    )
    assert log.trades.tobytes() == plain.trades.tobytes()
    np.testing.assert_array_equal(log.equity, plain.equity)


def test_text_is_no_number() -> None:
    close = np.array([["1.5"], ["1.6"]], dtype=object)
    with pytest.raises(PriceError, match=r"close holds the text '1\.5'"):
        track_trades(close, [0], [[1.0]])


def test_a_log_stays_read_only_through_pickle_and_copy() -> None:
    log = tracked(column(10, 11, 12), {0: [1.0]})
    for twin in (pickle.loads(pickle.dumps(log)), copy.deepcopy(log)):
        for array in (twin.trades, twin.equity, twin.margin_load):
            assert not array.flags.writeable
        assert twin.trades.tobytes() == log.trades.tobytes()
        twin.check()


@pytest.mark.skipif(
    not available("numba") or bool(os.environ.get("NUMBA_DISABLE_JIT")),
    reason="numba compiles the kernel",
)
def test_without_a_folder_for_the_cache_the_kernel_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from numba.core import caching

    from optimizer import _compiled
    from optimizer.backtest import _kernels

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    dispatcher = _compiled.compiled(_kernels.track_trades.py_func)
    assert dispatcher.stats.cache_path is None
