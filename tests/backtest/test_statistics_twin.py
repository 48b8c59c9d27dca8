"""The compiled figures and those of the plain twin are the same bits; what ties them together."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer._compat import available
from optimizer.backtest import _statistics_kernels, statistics
from optimizer.backtest.prices import load_sp500, month_ends
from optimizer.backtest.statistics import PortfolioFigures, Statistics, TradeFigures
from optimizer.backtest.tracker import Status, Tracker, TradeLog
from optimizer.reference import statistics as reference

compiled_only = pytest.mark.skipif(
    not available("numba"), reason="without numba the twin would be compared with itself"
)
jit_only = pytest.mark.skipif(
    bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="nothing is compiled"
)
FIELDS = TradeFigures._fields


def twin(log: TradeLog) -> Statistics:
    days = None if log.labels is None else log.labels.days
    table, curves = reference.trade_statistics(
        log.trades.tolist(),
        log.equity.tolist(),
        log.margin_load.tolist(),
        log.capital,
        () if days is None else days.tolist(),
    )
    return Statistics(np.array(table), np.array(curves))


def assert_same_bits(comp: Statistics, ref: Statistics) -> None:
    for row, column in enumerate(("all", "long", "short")):
        for at, name in enumerate(FIELDS):
            pair = comp.table[row, at], ref.table[row, at]
            assert pair[0].tobytes() == pair[1].tobytes(), (column, name, *pair)
    for at, name in enumerate(PortfolioFigures._fields):
        assert comp.curves[at].tobytes() == ref.curves[at].tobytes(), name


@st.composite
def logs(draw: st.DrawFn, capitals: tuple[float, ...] = (1.0, 1e5)) -> TradeLog:
    """Logs of quiet and wild markets: no trade, one side alone, ties, ruin, dates or none."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_bars, n_assets = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    steps = rng.normal(0.0, draw(st.sampled_from([0.0, 0.02, 0.5])), (n_bars, n_assets))
    close = 20.0 * np.exp(steps.cumsum(axis=0))
    if draw(st.booleans()):
        close = np.round(close) + 1.0  # so that trades end at no gain at all
    sides = draw(st.sampled_from([[0.0, 0.3], [0.0, -0.3], [-2.0, 0.0, 0.5, 1.0]]))
    weights = rng.choice(sides, close.shape)
    weights[rng.random(close.shape) < draw(st.sampled_from([0.0, 0.7, 1.0]))] = np.nan
    dates = np.datetime64("2001-01-31") + rng.integers(1, 4, n_bars).cumsum()
    tracker = Tracker(
        close,
        dates=dates if draw(st.booleans()) else None,
        capital=draw(st.sampled_from(capitals)),
        fee_rate=draw(st.sampled_from([0.0, 0.01])),
        fixed_fee=draw(st.sampled_from([0.0, 0.5])),
    )
    return tracker.track(weights=weights)


ANY_CAPITAL = 1e-300, 1e-200, 1.0, 1e5, 1e160, 1e200


@compiled_only
@settings(max_examples=int(os.environ.get("TRACKER_LOGS", "80")), deadline=None)
@given(logs(ANY_CAPITAL))
def test_any_log_gives_the_bits_of_the_twin(log: TradeLog) -> None:
    assert_same_bits(log.statistics(), twin(log))


@compiled_only
@pytest.mark.stress
@settings(max_examples=3_000, deadline=None)
@given(logs(ANY_CAPITAL))
def test_many_more_logs_give_the_bits_of_the_twin(log: TradeLog) -> None:
    assert_same_bits(log.statistics(), twin(log))


@compiled_only
@jit_only
@pytest.mark.parametrize("logs", [40, pytest.param(1_000, marks=pytest.mark.stress)])
def test_any_log_gives_the_bits_of_the_twin_without_the_compiler(logs: int) -> None:
    name = f"{__file__}::{test_any_log_gives_the_bits_of_the_twin.__name__}"
    off = {**os.environ, "NUMBA_DISABLE_JIT": "1", "TRACKER_LOGS": str(logs)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    done = subprocess.run(command, env=off, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@compiled_only
def test_the_real_panel_gives_the_bits_of_the_twin() -> None:
    panel = load_sp500()
    bars = month_ends(panel.dates)
    weights = np.random.default_rng(3).normal(0.0, 0.1, (len(bars), 20))
    log = Tracker(panel, fee_rate=0.001, slippage_rate=0.0005).track(bars, weights)
    assert len(log) > 4_000
    assert_same_bits(log.statistics(), twin(log))


SUMS = (
    *("trades", "round_trips", "open_trades", "winners", "losers"),
    *("net_pnl", "gross_pnl", "commissions", "slippage", "open_pnl", "profits", "losses"),
)


def relate(smaller: Any, larger: Any) -> bool:
    return bool(smaller <= larger or np.isnan(smaller) or np.isnan(larger))


@settings(deadline=None)
@given(logs())
def test_what_ties_the_figures_together(log: TradeLog) -> None:
    figures = log.statistics()
    portfolio = figures.portfolio
    for name in SUMS:  # the very bits
        parts = getattr(figures.long, name) + getattr(figures.short, name)
        assert getattr(figures.all, name) == parts, name
    for part in (figures.all, figures.long, figures.short):
        assert part.winners + part.losers <= part.trades
        assert part.round_trips <= part.trades
        assert part.losses <= 0.0 <= part.profits
        assert relate(part.mean_mae, 0.0)
        assert relate(0.0, part.mean_mfe)
        assert relate(part.min_bars, part.mean_bars * (1 + 1e-12))  # the mean is rounded
        assert relate(part.mean_bars, part.max_bars * (1 + 1e-12))
        assert relate(part.mean_margin_load, part.max_margin_load * (1 + 1e-12))
        assert relate(part.largest_loss, part.mean_loss * (1 - 1e-12))
        assert relate(part.mean_profit, part.largest_profit * (1 + 1e-12))
        assert part.win_streak <= part.winners
        assert part.loss_streak <= part.losers
        if part.trades:
            assert part.expectancy == pytest.approx(part.mean_pnl, rel=1e-9, abs=1e-9)
    # Sums of some hundred trades, each rounded at the size of the money that moved.
    moved = 1e-12 * (log.capital + np.abs(log.trades["size"] * log.trades["exit_price"]).sum())
    change = portfolio.equity - portfolio.capital
    assert figures.all.net_pnl + figures.all.open_pnl == pytest.approx(change, abs=1e3 * moved)
    assert portfolio.equity == log.equity[-1]
    assert portfolio.max_drawdown_ratio >= 0.0
    assert portfolio.max_drawdown_bars <= len(log.equity)
    assert relate(portfolio.mean_margin_load, portfolio.max_margin_load * (1 + 1e-12))
    closed = log.trades[log.trades["status"] == Status.CLOSED]
    assert figures.all.trades == len(closed)
    assert figures.all.std_pnl == pytest.approx(
        closed["net_pnl"].std(ddof=1) if len(closed) > 1 else np.nan,
        # numpy sums in another order
        *(1e-9, 1e-9 * log.capital),
        nan_ok=True,
    )


@compiled_only
def test_kernel_twin_and_columns_agree_on_names_and_codes() -> None:
    assert _statistics_kernels.OPEN == reference.OPEN == Status.OPEN
    assert _statistics_kernels.REDUCED == reference.REDUCED
    assert _statistics_kernels.LEAST_SQUARES == reference.LEAST_SQUARES
    assert _statistics_kernels.DAYS_PER_MONTH == reference.DAYS_PER_MONTH
    names = TradeLog.__dataclass_fields__
    assert "labels" in names
    assert statistics._kernels() is _statistics_kernels
