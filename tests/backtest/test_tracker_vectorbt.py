"""The same trades as vectorbt, trade by trade, wherever both define them alike.

They are defined alike without slippage (vectorbt puts it into the price), with as much cash as all
orders need (it does not borrow), and, where a fixed fee is paid, without changes of sign (it pays
the fee of one order, the tracker that of a close and of an open). vectorbt buys the difference of
two quantities, the tracker holds the target, so sizes and money differ by rounding.

vectorbt is no dependency: `nox -s parity` installs it, and runs these tests.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np
import pytest

from optimizer.backtest.prices import load_sp500, month_ends, synthetic_market
from optimizer.backtest.tracker import TradeLog, track_trades

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs
    vectorbt: Any = pytest.importorskip("vectorbt")

pytestmark = [pytest.mark.stress, pytest.mark.filterwarnings("ignore")]

# Of thousands of additions in another order, relative to the quantities and the money.
ROUNDING = 1e-9


def engines() -> list[str]:
    return ["numba", "rust"] if importlib.util.find_spec("vectorbt_rust") else ["numba"]


def portfolio(close: Any, bars: Any, weights: Any, engine: str, **settings: Any) -> Any:
    sizes = np.full(close.shape, np.nan)
    sizes[bars] = weights
    return vectorbt.Portfolio.from_orders(
        close, sizes, size_type="targetpercent", init_cash=100_000.0, cash_sharing=True,
        group_by=True, freq="D", engine=engine, **settings,
    )  # fmt: skip


def by_asset(records: Any, asset: str, exit_bar: str) -> Any:
    """Records of each asset in the order in which they ended, as both keep them."""
    return records[np.lexsort((np.arange(len(records)), records[exit_bar], records[asset]))]


def assert_same_trades(log: TradeLog, theirs: Any) -> None:
    trades = by_asset(log.trades, "asset", "exit_bar")
    records = by_asset(theirs.exit_trades.values, "col", "exit_idx")
    assert len(trades) == len(records) > 0
    for ours, name in (("asset", "col"), ("entry_bar", "entry_idx"), ("exit_bar", "exit_idx")):
        assert (trades[ours] == records[name]).all(), ours
    assert ((trades["side"] > 0) == (records["direction"] == 0)).all()
    assert (trades["status"] == records["status"]).all()
    assert (trades["exit_price"] == records["exit_price"]).all()
    for name in ("size", "entry_price"):
        np.testing.assert_allclose(trades[name], records[name], rtol=ROUNDING, err_msg=name)
    money = ROUNDING * 100_000.0
    fees = records["entry_fees"] + records["exit_fees"]
    np.testing.assert_allclose(trades["fees"], fees, rtol=ROUNDING, atol=money)
    np.testing.assert_allclose(trades["net_pnl"], records["pnl"], rtol=ROUNDING, atol=money)
    np.testing.assert_allclose(log.equity, np.asarray(theirs.value()), rtol=ROUNDING)


def assert_same_figures(log: TradeLog, theirs: Any) -> None:
    figures, trades = log.statistics(), theirs.exit_trades
    closed = trades.closed
    pairs = [
        (figures.all.trades, closed.count()),
        (figures.all.open_trades, trades.open.count()),
        (figures.long.trades + figures.long.open_trades, trades.long.count()),
        (figures.all.winners, closed.winning.count()),
        (figures.all.losers, closed.losing.count()),
        (figures.all.win_rate, closed.win_rate()),
        (figures.all.profit_factor, closed.profit_factor()),
        (figures.all.expectancy, closed.expectancy()),
        (figures.all.sqn, closed.sqn()),
        (figures.all.net_pnl, closed.pnl.sum()),
        (figures.all.largest_profit, closed.pnl.max()),
        (figures.all.largest_loss, closed.pnl.min()),
        (figures.all.mean_profit, closed.winning.pnl.mean()),
        (figures.all.mean_loss, closed.losing.pnl.mean()),
        (figures.all.mean_bars, closed.duration.mean()),
        (figures.all.open_pnl, trades.open.pnl.sum()),
        (figures.portfolio.equity, theirs.final_value()),
        (figures.portfolio.return_ratio, theirs.total_return()),
        (figures.portfolio.max_drawdown_ratio, -theirs.max_drawdown()),
    ]
    for at, (ours, found) in enumerate(pairs):
        assert ours == pytest.approx(float(found), rel=1e-7, abs=1e-6), at


def momentum(close: Any, bars: Any, lookback: int) -> Any:
    """Long the five best, short the five worst: half of the equity, so that cash is enough."""
    past = close[bars] / close[np.maximum(bars - lookback, 0)]
    rank = past.argsort(axis=1).argsort(axis=1)
    return np.where(rank >= 15, 0.08, 0.0) - np.where(rank < 5, 0.04, 0.0)


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("lookback", [21, 126])
def test_momentum_on_the_real_panel(engine: str, lookback: int) -> None:
    panel = load_sp500()
    bars = month_ends(panel.dates)[1:]
    weights = momentum(panel.close, bars, lookback)
    log = track_trades(panel.close, bars, weights, fee_rate=0.001)
    theirs = portfolio(panel.close, bars, weights, engine, fees=0.001)
    assert len(log) > 2_000
    assert_same_trades(log, theirs)
    assert_same_figures(log, theirs)


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("seed", range(12))
def test_random_weights_with_missing_prices(engine: str, seed: int) -> None:
    close = synthetic_market(250, 5, seed=seed, nan_fraction=0.05 * (seed % 3)).close
    close = np.array(close)
    for bar in (0, -1):  # vectorbt values nothing without these two
        close[bar] = np.where(np.isnan(close[bar]), 50.0, close[bar])
    rng = np.random.default_rng(seed)
    bars = np.sort(rng.choice(250, 60, replace=False))
    weights = rng.choice([-0.08, 0.0, 0.05, 0.1, np.nan], (60, 5))
    log = track_trades(close, bars, weights, fee_rate=0.002)
    theirs = portfolio(close, bars, weights, engine, fees=0.002)
    assert_same_trades(log, theirs)
    assert_same_figures(log, theirs)


@pytest.mark.parametrize("engine", engines())
def test_a_fixed_fee_and_a_lag(engine: str) -> None:
    close = synthetic_market(250, 5, seed=1).close
    rng = np.random.default_rng(1)
    bars = np.sort(rng.choice(249, 60, replace=False))
    weights = rng.choice([0.0, 0.05, 0.15, np.nan], (60, 5))
    log = track_trades(close, bars, weights, fee_rate=0.002, fixed_fee=3.0, lag=1)
    theirs = portfolio(close, bars + 1, weights, engine, fees=0.002, fixed_fees=3.0)
    assert_same_trades(log, theirs)
    assert_same_figures(log, theirs)
