"""The rules that tie a trade log together, for `TradeLog.check`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from optimizer.reference.tracker import CLOSED, END_OF_DATA, OPEN, REDUCED

Floats = NDArray[np.float64]
Records = NDArray[np.void]
Verdicts = Iterator[tuple[str, NDArray[np.bool_]]]

# Rounding of sums of many trades, relative to the money that went through them.
ROUNDING_RATIO = 1e-9


def broken_rule(trades: Records, equity: Floats, margin_load: Floats, capital: float) -> str | None:
    """The first rule that does not hold, in words and with its numbers; None if all hold."""
    for rules in (_codes(trades), _bars(trades, len(equity)), _money(trades)):
        for rule, holds in rules:
            if not holds.all():
                at = int(np.flatnonzero(~holds)[0])
                return f"trade {at} breaks the rule that {rule}: {trades[at]}"
    return (
        _broken_positions(trades)
        or _broken_sums(trades, equity, capital)
        or _broken_curves(equity, margin_load)
    )


def _codes(trades: Records) -> Verdicts:
    yield "side is +1 or -1", np.isin(trades["side"], (1, -1))
    yield "status is open or closed", np.isin(trades["status"], (OPEN, CLOSED))
    yield (
        "reason is one of four",
        (trades["reason"] >= REDUCED) & (trades["reason"] <= END_OF_DATA),
    )
    yield (
        "only what the data's end left is open",
        (trades["status"] == OPEN) == (trades["reason"] == END_OF_DATA),
    )


def _bars(trades: Records, n_bars: int) -> Verdicts:
    entry, end = trades["entry_bar"], trades["exit_bar"]
    yield "0 <= entry_bar <= exit_bar < bars", (entry >= 0) & (entry <= end) & (end < n_bars)
    yield "bars_held = exit_bar - entry_bar", trades["bars_held"] == end - entry
    yield "records are in order of exit_bar", np.diff(end, prepend=0) >= 0
    yield (
        "an open slice ends at the last bar",
        (trades["status"] != OPEN) | (end == n_bars - 1),
    )


def _money(trades: Records) -> Verdicts:
    gross, fees, slippage = trades["gross_pnl"], trades["fees"], trades["slippage"]
    moved = trades["exit_price"] - trades["entry_price"]
    yield "size is above 0", trades["size"] > 0.0
    yield (
        "fees, slippage and margin load are not negative",
        ((fees >= 0.0) & (slippage >= 0.0) & (trades["margin_load"] >= 0.0)),
    )
    yield (
        "gross_pnl = side x (exit - entry price) x size",
        gross == trades["side"] * moved * trades["size"],
    )
    yield "net_pnl = gross_pnl - fees - slippage", trades["net_pnl"] == gross - fees - slippage
    yield "mae <= 0 <= mfe", (trades["mae"] <= 0.0) & (trades["mfe"] >= 0.0)
    yield (
        "gross_pnl lies between mae and mfe",
        (trades["mae"] <= gross) & (gross <= trades["mfe"]),
    )


def _broken_positions(trades: Records) -> str | None:
    """Each position has one asset, side and entry bar, and one record that ends it, its last."""
    if not len(trades):
        return None
    position = trades["position"]
    if position.min() < 0 or position.max() >= len(trades):
        return f"positions are numbered {position.min()} to {position.max()}, not 0, 1, 2, ..."
    ends = np.bincount(position[trades["reason"] != REDUCED], minlength=position.max() + 1)
    if (ends != 1).any():
        at = int(np.flatnonzero(ends != 1)[0])
        return f"position {at} is ended by {ends[at]} records, expected 1"
    order = np.argsort(position, kind="stable")
    by_position = trades[order]
    same = by_position["position"][1:] == by_position["position"][:-1]
    for name in ("asset", "side", "entry_bar"):
        differs = np.flatnonzero(same & (by_position[name][1:] != by_position[name][:-1]))
        if differs.size:
            return f"position {by_position['position'][differs[0]]} changes its {name}"
    early = np.flatnonzero(same & (by_position["reason"][:-1] != REDUCED))
    if early.size:
        return f"position {by_position['position'][early[0]]} goes on after its end"
    return None


def _broken_sums(trades: Records, equity: Floats, capital: float) -> str | None:
    """All = Long + Short, and the net pnl of all is the change of equity."""
    net, is_long, is_short = trades["net_pnl"], trades["side"] > 0, trades["side"] < 0
    if is_long.sum() + is_short.sum() != len(trades):
        return f"{is_long.sum()} long and {is_short.sum()} short trades, but {len(trades)} in all"
    turnover = float((trades["size"] * (trades["entry_price"] + trades["exit_price"])).sum())
    rounding = ROUNDING_RATIO * (capital + turnover)
    total = float(net.sum())
    sides = float(net[is_long].sum()) + float(net[is_short].sum())
    if not abs(total - sides) <= rounding:
        return f"net pnl is {total}, but long and short together {sides}"
    change = float(equity[-1]) - capital
    if not abs(total - change) <= rounding:
        return f"net pnl is {total}, but the equity changed by {change}"
    return None


def _broken_curves(equity: Floats, margin_load: Floats) -> str | None:
    if equity.shape != margin_load.shape:
        return f"equity has shape {equity.shape}, margin_load {margin_load.shape}"
    holds = np.where(equity > 0.0, margin_load >= 0.0, np.isnan(margin_load))
    if not holds.all():
        bar = int(np.flatnonzero(~holds)[0])
        return f"margin_load is {margin_load[bar]} where equity is {equity[bar]}, bar {bar}"
    return None
