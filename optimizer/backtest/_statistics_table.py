"""The table of a backtest as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_LABEL, _CELL = 26, 15


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.2f}"


def _percent(value: float) -> str:
    return f"{value:,.2%}"


def _plain(value: float) -> str:
    return f"{value:,.3f}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


Section = tuple[tuple[str, str, Callable[[float], str]], ...]

# The figure, what the table calls it, and how it is written.
_SECTIONS: tuple[Section, ...] = (
    (
        ("trades", "Trades", _count),
        ("round_trips", "Round trips", _count),
        ("winners", "Winners", _count),
        ("losers", "Losers", _count),
        ("win_rate", "Win rate", _percent),
        ("win_streak", "Longest win streak", _count),
        ("loss_streak", "Longest loss streak", _count),
        ("trades_per_month", "Trades per month", _plain),
    ),
    (
        ("net_pnl", "Net pnl", _money),
        ("gross_pnl", "Gross pnl", _money),
        ("commissions", "Commissions", _money),
        ("slippage", "Slippage", _money),
        ("open_trades", "Open trades", _count),
        ("open_pnl", "Open pnl", _money),
    ),
    (
        ("profits", "Sum of profits", _money),
        ("losses", "Sum of losses", _money),
        ("largest_profit", "Largest profit", _money),
        ("largest_loss", "Largest loss", _money),
        ("mean_profit", "Mean profit", _money),
        ("mean_loss", "Mean loss", _money),
        ("mean_pnl", "Mean trade pnl", _money),
        ("std_pnl", "Std of trade pnl", _money),
        ("mean_mfe", "Mean MFE", _money),
        ("mean_mae", "Mean MAE", _money),
    ),
    (
        ("reward_risk", "Reward / risk", _plain),
        ("profit_factor", "Profit factor", _plain),
        ("expectancy", "Expectancy", _money),
        ("expectancy_ratio", "Expectancy / mean loss", _plain),
        ("sqn", "SQN", _plain),
        ("information_score", "Information score", _plain),
    ),
    (
        ("min_bars", "Shortest, bars", _tenths),
        ("mean_bars", "Mean duration, bars", _tenths),
        ("max_bars", "Longest, bars", _tenths),
        ("min_days", "Shortest, days", _tenths),
        ("mean_days", "Mean duration, days", _tenths),
        ("max_days", "Longest, days", _tenths),
        ("max_margin_load", "Max margin load, trade", _percent),
        ("mean_margin_load", "Mean margin load, trade", _percent),
    ),
)
_PORTFOLIO: Section = (
    ("capital", "Capital", _money),
    ("equity", "Equity at the end", _money),
    ("return_ratio", "Return", _percent),
    ("max_drawdown_ratio", "Max drawdown", _percent),
    ("max_drawdown_bars", "Longest drawdown, bars", _count),
    ("max_margin_load", "Max margin load, bar", _percent),
    ("mean_margin_load", "Mean margin load, bar", _percent),
)


def text_table(columns: Sequence[Mapping[str, Any]], portfolio: Mapping[str, Any]) -> str:
    """Lines of equal width unless a figure needs more; "-" stands where there is nothing.

    Args:
        columns: the figures of all, of the long and of the short trades.
        portfolio: the figures of the portfolio.
    """
    rule = "-" * (_LABEL + len(columns) * _CELL)
    lines = [_line("", ["All", "Long", "Short"])]
    for section in _SECTIONS:
        lines.append(rule)
        for name, label, written in section:
            lines.append(_line(label, [_cell(column[name], written) for column in columns]))
    lines.append(rule)
    for name, label, written in _PORTFOLIO:
        lines.append(_line(label, [_cell(portfolio[name], written)]))
    return "\n".join(lines)


def _line(label: str, cells: Sequence[str]) -> str:
    return f"{label:<{_LABEL}}" + "".join(f"{cell:>{_CELL}}" for cell in cells)


def _cell(value: float, written: Callable[[float], str]) -> str:
    if math.isnan(value):
        return "-"
    return written(value) if math.isfinite(value) else f"{value:f}"
