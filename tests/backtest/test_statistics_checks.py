"""Figures of parts that do not fit are refused with one error; money of any size has figures."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from optimizer.backtest.statistics import Statistics, trade_statistics
from optimizer.backtest.tracker import TRADE_DTYPE, Tracker, TradeLog
from optimizer.errors import PriceError

DATES = np.array(["2020-01-01", "2020-01-04", "2020-03-01", "2020-03-02"], "datetime64[D]")


@pytest.fixture(name="compiled", params=[True, False], autouse=True)
def _compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the kernels and with the twins."""
    if not request.param:
        for module in ("tracker", "statistics"):
            monkeypatch.setattr(f"optimizer.backtest.{module}.available", lambda _: False)


def a_log(**settings: Any) -> TradeLog:
    tracker = Tracker([[10.0], [12.0], [11.0], [14.0]], dates=DATES, **settings)
    return tracker.track([0, 1, 2, 3], [[1.0], [-0.5], [0.5], [0.0]])


def parts_of(log: TradeLog) -> dict[str, Any]:
    assert log.labels is not None
    return {
        "trades": log.trades,
        "equity": log.equity,
        "margin_load": log.margin_load,
        "capital": log.capital,
        "days": log.labels.days,
    }


def same(left: Statistics, right: Statistics) -> bool:
    return (
        left.table.tobytes() == right.table.tobytes()
        and left.curves.tobytes() == right.curves.tobytes()
    )


def with_bars(entry: int, end: int) -> Any:
    trades = a_log().trades.copy()
    trades["entry_bar"][1], trades["exit_bar"][1] = entry, end
    return trades


SHORT, NONE = np.ones(3), np.empty(0)
CURVE = np.ones(4)
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"margin_load": SHORT}, "margin_load has 3 values beside an equity of 4 bars"),
    ({"equity": np.ones(9)}, "margin_load has 4 values beside an equity of 9 bars"),
    ({"equity": NONE}, "equity is empty"),
    ({"equity": NONE, "margin_load": NONE, "days": None}, "equity is empty"),
    ({"days": SHORT}, "days has 3 values beside an equity of 4 bars"),
    ({"trades": with_bars(0, 4)}, r"trades\[1\] runs from bar 0 to bar 4.* bars 0 to 3"),
    ({"trades": with_bars(-1, 3)}, r"trades\[1\] runs from bar -1 to bar 3"),
    ({"trades": with_bars(0, -1)}, r"trades\[1\] runs from bar 0 to bar -1"),
    ({"trades": with_bars(2**31 - 1, 3)}, r"trades\[1\] runs from bar 2147483647 to bar 3"),
    ({"trades": np.zeros(2)}, r"trades has shape \(2,\) and holds float64"),
    ({"trades": a_log().trades[:, None]}, r"trades has shape \(3, 1\)"),
    ({"margin_load": CURVE[:, None]}, r"margin_load has shape \(4, 1\) and holds float64"),
    ({"capital": 0.0}, "capital is 0.0; pass an amount of money above 0"),
    ({"capital": math.nan}, "capital is nan"),
    ({"capital": math.inf}, "capital is inf"),
    ({"capital": "much"}, "capital is 'much'"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_parts_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PriceError, match=message):
        trade_statistics(**{**parts_of(a_log()), **change})


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_logs_made_by_hand_are_looked_at_too(change: dict[str, Any], message: str) -> None:
    log = a_log()
    if "days" in change:
        assert log.labels is not None
        change = {**change, "labels": dataclasses.replace(log.labels, days=change["days"])}
        del change["days"]
    with pytest.raises(PriceError, match=message):
        dataclasses.replace(log, **change).statistics()


@pytest.mark.parametrize("part", ["equity", "margin_load", "days"])
def test_curves_of_no_numbers_are_named(part: str) -> None:
    for wrong in (["a", "b", "c", "d"], DATES):
        with pytest.raises(PriceError, match=f"{part} (holds|cannot be read)"):
            trade_statistics(**{**parts_of(a_log()), part: wrong})


def test_what_can_be_read_gives_the_figures_of_the_log() -> None:
    log = a_log(fee_rate=0.01)
    parts = parts_of(log)
    assert same(trade_statistics(**parts), log.statistics())
    lists = {n: parts[n].tolist() for n in ("equity", "margin_load", "days")}
    assert same(trade_statistics(**{**parts, **lists}), log.statistics())
    wide = np.repeat(log.trades, 2)[::2]
    plain = np.array(log.trades.tolist(), np.dtype(TRADE_DTYPE.descr))
    for trades in (wide, plain):
        assert same(trade_statistics(**{**parts, "trades": trades}), log.statistics())
        assert trades.flags.writeable
    dateless = trade_statistics(*[parts[n] for n in [*parts][:-1]])
    assert math.isnan(dateless.all.mean_days)
    assert dateless.all.net_pnl == log.statistics().all.net_pnl


def test_bars_matter_only_where_days_are_counted() -> None:
    """An open trade has no duration, and without dates no trade has one in days."""
    parts = parts_of(a_log())
    trades = with_bars(0, 99)
    assert trade_statistics(**{**parts, "trades": trades, "days": None}).all.trades == 3
    trades["status"][1] = 0
    assert trade_statistics(**{**parts, "trades": trades}).all.trades == 2


# --- money of any size


@pytest.mark.parametrize("exponent", [-1000, -600, 500, 600, 1000])
def test_figures_scale_with_the_capital(exponent: int) -> None:
    """A power of 2 changes no digit, so figures of money are that many times as large."""
    scale = 2.0**exponent
    ref, comp = a_log(capital=1.0).statistics(), a_log(capital=scale).statistics()
    for name in ("all", "long", "short"):
        plain, scaled = getattr(ref, name), getattr(comp, name)
        for figure in ("sqn", "information_score", "profit_factor", "reward_risk", "win_rate"):
            expected = pytest.approx(getattr(plain, figure), rel=1e-14, nan_ok=True)
            assert getattr(scaled, figure) == expected, (name, figure)
        assert scaled.std_pnl == pytest.approx(plain.std_pnl * scale, rel=1e-14, nan_ok=True)
        assert scaled.mean_pnl == plain.mean_pnl * scale
    assert ref.all.std_pnl > 0.0


@pytest.mark.parametrize("exponent", [-1000, -600, 600, 900])
@pytest.mark.parametrize("opened", [True, False])
def test_returns_of_any_size_have_a_score(exponent: int, opened: bool) -> None:
    def score(entry_price: float) -> tuple[float, float]:
        trades = np.zeros(4, TRADE_DTYPE)
        trades["net_pnl"], trades["size"] = (1.0, -2.0, 4.0, 9.0), 1.0
        trades["entry_price"], trades["side"] = entry_price, (1, -1, 1, -1)
        trades["status"], trades["reason"] = 1, 2
        trades["status"][3] = not opened
        figures = TradeLog(trades, np.ones(1), np.zeros(1), 1.0).statistics()
        return figures.all.information_score, figures.short.information_score

    assert score(2.0**exponent) == pytest.approx(score(1.0), rel=1e-14, nan_ok=True)
    assert math.isnan(score(1.0)[1]) == opened


def test_trades_that_differ_in_money_but_not_in_return_have_one_spread() -> None:
    trades = np.zeros(2, TRADE_DTYPE)
    trades["net_pnl"] = trades["size"] = (1e200, 2e200)
    trades["entry_price"], trades["side"], trades["status"], trades["reason"] = 1.0, 1, 1, 2
    figures = TradeLog(trades, np.ones(1), np.zeros(1), 1.0).statistics().all
    assert figures.std_pnl == pytest.approx(math.sqrt(0.5) * 1e200, rel=1e-15)
    assert math.isnan(figures.information_score)
