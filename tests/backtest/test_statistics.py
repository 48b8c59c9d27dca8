"""Each figure of the table, on logs small enough to work out by hand."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

from optimizer.backtest import _statistics_table as table
from optimizer.backtest.statistics import PortfolioFigures, Statistics, TradeFigures
from optimizer.backtest.tracker import TRADE_DTYPE, Tracker, TradeLog, track_trades
from optimizer.reference import statistics as reference
from optimizer.reference import tracker as reference_tracker

NAN = math.nan
INF = math.inf


@pytest.fixture(name="compiled", params=[True, False], autouse=True)
def _compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the kernels and with the twins."""
    if not request.param:
        for module in ("tracker", "statistics"):
            monkeypatch.setattr(f"optimizer.backtest.{module}.available", lambda _: False)


def figures_of(pnls: list[float], *, sides: list[int] | None = None) -> Statistics:
    """The figures of closed trades of 2 units, bought at 5, that gained so much."""
    sides = [1] * len(pnls) if sides is None else sides
    prices = [5.0 + side * pnl / 2.0 for side, pnl in zip(sides, pnls, strict=True)]
    close: list[list[float]] = [[5.0] * len(pnls)]
    weights = [[side * 0.125 for side in sides]]  # 10 of 80, two units, all at once
    for at in range(len(pnls)):  # an asset each, closed at a bar each
        close.append([*prices[: at + 1], *[5.0] * (len(pnls) - at - 1)])
        weights.append([0.0 if asset == at else NAN for asset in range(len(pnls))])
    if not pnls:  # no market without an asset
        return track_trades([[5.0], [6.0]], [], np.empty((0, 1)), capital=100.0).statistics()
    log = track_trades(close, weights=weights, capital=80.0)
    log.check()
    return log.statistics()


def same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


def assert_figures(figures: Any, **expected: float) -> None:
    for name, value in expected.items():
        found = getattr(figures, name)
        assert same(found, value), f"{name} is {found}, expected {value}"


def test_winners_losers_and_a_trade_at_nothing() -> None:
    figures = figures_of([4.0, 2.0, -1.0, 0.0, 5.0, -3.0, -1.0, -2.0])
    assert_figures(
        figures.all,
        trades=8, round_trips=8, open_trades=0, winners=3, losers=4, win_rate=0.375,
        net_pnl=4.0, gross_pnl=4.0, commissions=0.0, slippage=0.0, open_pnl=0.0,
        profits=11.0, losses=-7.0, largest_profit=5.0, largest_loss=-3.0,
        mean_profit=11.0 / 3.0, mean_loss=-1.75, mean_pnl=0.5,
        reward_risk=11.0 / 3.0 / 1.75, profit_factor=11.0 / 7.0,
        expectancy=0.375 * (11.0 / 3.0) + 0.5 * -1.75, expectancy_ratio=0.5 / 1.75,
        win_streak=2, loss_streak=3,
        mean_margin_load=0.125, max_margin_load=0.125,
    )  # fmt: skip
    deviation = math.sqrt(58.0 / 7.0)  # the squares sum to 60, less 8 x 0.5 x 0.5
    assert figures.all.std_pnl == pytest.approx(deviation, rel=1e-15)
    assert figures.all.sqn == pytest.approx(math.sqrt(8.0) * 0.5 / deviation, rel=1e-15)
    # Each entered at a value of 10, so returns are a tenth of the pnl.
    assert figures.all.information_score == pytest.approx(0.5 / deviation, rel=1e-14)


def test_no_trade_counts_nothing_and_knows_no_mean() -> None:
    figures = figures_of([])
    zeros = {
        *("trades", "round_trips", "open_trades", "winners", "losers", "win_streak"),
        *("loss_streak", "net_pnl", "gross_pnl", "commissions", "slippage", "open_pnl"),
        *("profits", "losses"),
    }
    for part in (figures.all, figures.long, figures.short):
        assert_figures(part, **{n: 0.0 if n in zeros else NAN for n in TradeFigures._fields})
    assert figures.portfolio == PortfolioFigures(100.0, 100.0, 0.0, 0.0, 0, 0.0, 0.0)


def test_one_trade_has_no_spread() -> None:
    assert_figures(
        figures_of([4.0]).all,
        *(), trades=1, win_rate=1.0, mean_pnl=4.0, std_pnl=NAN, sqn=NAN, information_score=NAN,
        largest_profit=4.0, largest_loss=NAN, mean_loss=NAN, expectancy=4.0, expectancy_ratio=NAN,
        reward_risk=NAN, profit_factor=INF, min_bars=1.0, mean_bars=1.0, max_bars=1.0,
    )  # fmt: skip


def test_without_losers_the_profit_factor_alone_is_infinite() -> None:
    assert_figures(
        figures_of([1.0, 3.0, 0.0]).all,
        *(), losers=0, losses=0.0, mean_loss=NAN, largest_loss=NAN, reward_risk=NAN,
        profit_factor=INF, expectancy_ratio=NAN, loss_streak=0,
    )  # fmt: skip


def test_without_winners_the_profit_factor_is_zero() -> None:
    assert_figures(
        figures_of([-1.0, -3.0]).all,
        *(), winners=0, profits=0.0, mean_profit=NAN, largest_profit=NAN, reward_risk=NAN,
        profit_factor=0.0, expectancy=-2.0, expectancy_ratio=-1.0, win_streak=0,
    )  # fmt: skip


def test_trades_at_nothing_have_no_ratio() -> None:
    assert_figures(
        figures_of([0.0, 0.0]).all,
        *(), trades=2, winners=0, losers=0, win_rate=0.0, net_pnl=0.0, profit_factor=NAN,
        reward_risk=NAN, expectancy=0.0, expectancy_ratio=NAN, std_pnl=0.0, sqn=NAN,
    )  # fmt: skip


def test_equal_trades_have_no_spread_whatever_rounding_says() -> None:
    """The mean of three times 0.1 is not 0.1, yet the trades do not differ."""
    trades = np.zeros(3, TRADE_DTYPE)
    trades["net_pnl"], trades["size"], trades["entry_price"] = 0.1, 1.0, 1.0
    trades["side"], trades["status"], trades["reason"] = 1, 1, 2
    assert sum(trades["net_pnl"].tolist()) / 3.0 != 0.1
    figures = TradeLog(trades, np.ones(1), np.zeros(1), 1.0).statistics()
    assert_figures(figures.all, std_pnl=0.0, sqn=NAN, information_score=NAN)


def test_an_entry_value_too_small_for_a_float_is_no_division_by_zero() -> None:
    trades = np.zeros(2, TRADE_DTYPE)
    trades["net_pnl"], trades["size"], trades["entry_price"] = (1.0, 2.0), 1e-200, 1e-200
    trades["side"], trades["status"], trades["reason"] = 1, 1, 2
    figures = TradeLog(trades, np.ones(1), np.zeros(1), 1.0).statistics()
    assert_figures(figures.all, information_score=NAN)


def test_long_and_short_stand_apart_and_their_sums_make_all() -> None:
    figures = figures_of([4.0, -1.0, 2.0, 3.0], sides=[1, -1, -1, 1])
    assert_figures(figures.long, trades=2, net_pnl=7.0, win_streak=2, largest_loss=NAN)
    assert_figures(figures.short, trades=2, net_pnl=1.0, win_streak=1, loss_streak=1)
    assert_figures(figures.all, trades=4, net_pnl=8.0, win_streak=2, largest_profit=4.0)


def test_what_is_open_counts_apart() -> None:
    log = track_trades(
        [[10.0, 10.0], [12.0, 9.0], [13.0, 9.0]],
        [0, 1], [[0.5, 0.5], [NAN, 0.0]], capital=100.0, fee_rate=0.25,
    )  # fmt: skip
    figures = log.statistics()
    assert_figures(
        figures.all,
        *(), trades=1, open_trades=1, open_pnl=15.0 - 12.5, gross_pnl=-5.0,
        commissions=12.5 + 11.25, net_pnl=-28.75, max_bars=1.0,
    )  # fmt: skip
    assert figures.all.net_pnl + figures.all.open_pnl == log.equity[-1] - 100.0


def test_slices_are_trades_and_their_last_one_a_round_trip() -> None:
    log = track_trades(
        [[10.0], [20.0], [5.0]], [0, 1, 2], [[1.0], [0.5], [0.0]],
        capital=100.0, capital_mode="starting",
    )  # fmt: skip
    assert_figures(
        log.statistics().all,
        *(), trades=2, round_trips=1, mean_mfe=50.0, mean_mae=-6.25, net_pnl=62.5,
        max_margin_load=0.75, mean_margin_load=0.5, min_bars=1.0, mean_bars=1.5, max_bars=2.0,
    )  # fmt: skip


def test_dates_give_durations_and_trades_a_month() -> None:
    dates = np.array(["2020-01-01", "2020-01-04", "2020-03-01"], "datetime64[D]")
    tracker = Tracker([[10.0], [20.0], [5.0]], dates=dates, capital=100.0)
    figures = tracker.track([0, 1, 2], [[1.0], [0.5], [0.0]]).statistics()
    assert_figures(figures.all, min_days=3.0, mean_days=31.5, max_days=60.0)
    assert figures.all.trades_per_month == 2.0 / (60.0 / (365.2425 / 12.0))
    assert_figures(figures.short, min_days=NAN, trades_per_month=0.0)
    one_bar = Tracker([[10.0]], dates=dates[:1]).track([0], [[1.0]]).statistics()
    assert math.isnan(one_bar.all.trades_per_month)


def test_hours_are_parts_of_a_day() -> None:
    dates = np.array(["2020-01-01T00", "2020-01-01T06"], "datetime64[h]")
    figures = Tracker([[10.0], [20.0]], dates=dates).track([0, 1], [[1.0], [0.0]]).statistics()
    assert figures.all.mean_days == 0.25


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([10, 12, 9, 11, 12], (0.2, 0.25, 2, 1.0)),  # 12 is reached again at the last bar
        ([10, 8, 6, 5], (-0.5, 0.5, 3, 1.0)),  # never above the capital
        ([10, 11, 12], (0.2, 0.0, 0, 1.0)),
    ],
)
def test_the_portfolio(prices: list[float], expected: tuple[float, ...]) -> None:
    log = track_trades([[float(p)] for p in prices], [0], [[1.0]], capital=100.0)
    portfolio = log.statistics().portfolio
    assert portfolio.return_ratio == pytest.approx(expected[0], rel=1e-15)
    assert portfolio.max_drawdown_ratio == expected[1]
    assert portfolio.max_drawdown_bars == expected[2]
    assert portfolio.max_margin_load == portfolio.mean_margin_load == expected[3]


def test_bars_of_a_bankrupt_portfolio_have_no_margin_load() -> None:
    log = track_trades([[10.0], [25.0], [10.0]], [0], [[-1.0]], capital=100.0)
    assert log.equity.tolist() == [100.0, -50.0, 100.0]
    portfolio = log.statistics().portfolio
    assert_figures(portfolio, max_drawdown_ratio=1.5, max_margin_load=1.0, mean_margin_load=1.0)


def test_a_fee_at_the_first_bar_is_a_drawdown_from_the_capital() -> None:
    log = track_trades([[10.0]], [0], [[1.0]], capital=100.0, fee_rate=0.25)
    assert log.statistics().portfolio.max_drawdown_ratio == 0.25


# --- what comes out


def test_figures_cannot_be_changed() -> None:
    figures = figures_of([4.0, -1.0])
    for twin in (figures, pickle.loads(pickle.dumps(figures)), copy.deepcopy(figures)):
        assert twin.table.tobytes() == figures.table.tobytes()
        for array in (twin.table, twin.curves):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0


def test_the_dictionary_has_counts_as_int() -> None:
    parts = figures_of([4.0, -1.0]).to_dict()
    assert list(parts) == ["all", "long", "short", "portfolio"]
    assert parts["all"]["trades"] == 2
    assert {n for n, v in parts["all"].items() if isinstance(v, int)} == {
        *("trades", "round_trips", "open_trades", "winners", "losers"),
        *("win_streak", "loss_streak"),
    }
    assert isinstance(parts["portfolio"]["max_drawdown_bars"], int)


def test_the_table_says_what_is_not_there_and_lines_up() -> None:
    lines = str(figures_of([4000.0, 2.0])).splitlines()
    assert lines[0].split() == ["All", "Long", "Short"]
    rows = {line[:26].strip(): line[26:].split() for line in lines}
    assert rows["Trades"] == ["2", "2", "0"]
    assert rows["Win rate"] == ["100.00%", "100.00%", "-"]
    assert rows["Net pnl"] == ["4,002.00", "4,002.00", "0.00"]
    assert rows["Profit factor"] == ["inf", "inf", "-"]
    assert rows["Capital"] == ["80.00"]
    assert {len(line) for line in lines if len(line) > 50} == {71}


def test_every_figure_is_in_the_table() -> None:
    shown = [name for section in table._SECTIONS for name, _, _ in section]
    assert sorted(shown) == sorted(TradeFigures._fields)
    assert [name for name, _, _ in table._PORTFOLIO] == list(PortfolioFigures._fields)


def test_the_twin_reads_the_records_in_their_order() -> None:
    names = TRADE_DTYPE.names or ()
    for name, field in (
        *(("ENTRY_BAR", "entry_bar"), ("EXIT_BAR", "exit_bar"), ("BARS_HELD", "bars_held")),
        *(("SIDE", "side"), ("STATUS", "status"), ("REASON", "reason"), ("SIZE", "size")),
        *(("ENTRY_PRICE", "entry_price"), ("FEES", "fees"), ("SLIPPAGE", "slippage")),
        *(("GROSS", "gross_pnl"), ("NET", "net_pnl"), ("MFE", "mfe"), ("MAE", "mae")),
        ("LOAD", "margin_load"),
    ):
        assert names[getattr(reference, name)] == field
    assert reference.REDUCED == reference_tracker.REDUCED
