"""What compares us with the field's libraries stands beside the gate, not in it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from benchmarks import _peers, _registry
from optimizer.backtest.tracker import track_trades

VECTORBT = {path.name for path in _peers.load() if path.name.startswith("peers.")}


def test_peers_are_no_hot_paths_of_the_gate() -> None:
    """What they are compared with need not be installed."""
    peers = {path.name for path in _peers.load()}
    assert {f"peers.Vectorbt{part}" for part in ("Trades", "Statistics", "Sweep")} == VECTORBT
    assert any(name.startswith("peers_storage.") for name in peers)
    assert not peers & {path.name for path in _registry.load()}


def test_a_peer_that_is_not_installed_names_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vectorbt", None)
    for path in _peers.load():
        if path.name not in VECTORBT:
            continue
        with pytest.raises(NotImplementedError, match=r"vectorbt.*`nox -s parity` installs it"):
            path.case(path.cases[0].label).open()


# --- agreement with the field's library, without it


def small_log() -> Any:
    rng = np.random.default_rng(3)
    close = np.exp(rng.normal(0.0, 0.01, (120, 4)).cumsum(axis=0)) * 50.0
    weights = rng.choice([-0.1, 0.0, 0.05, 0.1], (20, 4))
    return track_trades(close, np.arange(5, 105, 5), weights, fee_rate=0.001)


def as_theirs(log: Any) -> Any:
    """Our records with the names of vectorbt's, in another order."""
    fields = [("col", "i8"), ("entry_idx", "i8"), ("exit_idx", "i8"), ("direction", "i8")]
    fields += [("status", "i8"), ("exit_price", "f8"), ("size", "f8"), ("entry_price", "f8")]
    fields += [("entry_fees", "f8"), ("exit_fees", "f8"), ("pnl", "f8")]
    found, trades = np.zeros(len(log), fields), log.trades
    for name, own in (("col", "asset"), ("entry_idx", "entry_bar"), ("exit_idx", "exit_bar")):
        found[name] = trades[own]
    for name in ("status", "exit_price", "size", "entry_price"):
        found[name] = trades[name]
    found["direction"] = trades["side"] < 0
    found["entry_fees"] = found["exit_fees"] = trades["fees"] / 2
    found["pnl"] = trades["net_pnl"]
    return found[np.lexsort((np.arange(len(log)), found["exit_idx"], found["col"]))]


def test_the_same_trades_in_another_order_are_the_same() -> None:
    log = small_log()
    assert len(log) > 20
    assert _peers._same_trades(log, as_theirs(log))
    assert not _peers._same_trades(log, as_theirs(log)[:-1])


@pytest.mark.parametrize(
    ("name", "added"),
    [
        *(("col", 1), ("entry_idx", 1), ("exit_idx", 1), ("direction", 0), ("status", 5)),
        *(("exit_price", 1e-9), ("size", 1e-4), ("entry_price", 1e-4)),
        *(("entry_fees", 1e-3), ("exit_fees", 1e-3), ("pnl", 1e-3)),
    ],
)
def test_one_wrong_field_of_one_trade_is_noticed(name: str, added: float) -> None:
    log = small_log()
    theirs = as_theirs(log)
    theirs[name][4] = theirs[name][4] + added if added else 1 - theirs[name][4]
    assert not _peers._same_trades(log, theirs)


class Portfolio:
    """What is asked of vectorbt's, answered with our own figures."""

    def __init__(self, figures: Any) -> None:
        self._figures = figures.portfolio

    def final_value(self) -> float:
        return float(self._figures.equity)

    def total_return(self) -> float:
        return float(self._figures.return_ratio)

    def max_drawdown(self) -> float:
        return -float(self._figures.max_drawdown_ratio)


def test_every_figure_is_compared() -> None:
    log = small_log()
    figures, records = log.statistics(), as_theirs(log)
    every = figures.all
    stats = {
        "Total Closed Trades": every.trades,
        "Win Rate [%]": every.win_rate * 100.0,
        "Profit Factor": every.profit_factor,
        "Expectancy": every.expectancy,
        "SQN": every.sqn,
    }
    portfolio = Portfolio(figures)
    assert _peers._same_figures(figures, stats, records, portfolio)
    for name, value in stats.items():
        wrong = {**stats, name: value + 1e-3}
        assert not _peers._same_figures(figures, wrong, records, portfolio), name
    for field in ("pnl", "entry_idx", "direction", "status"):
        other = records.copy()
        other[field][0] = 1 - other[field][0]
        assert not _peers._same_figures(figures, stats, other, portfolio), field
