"""What can be traded on: shapes, settings and values, and what is said about those that cannot."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.backtest._arrays import read_floats
from optimizer.backtest._labels import Labels
from optimizer.errors import PriceError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Money = tuple[float, float, float, float]
"""Capital, fee rate, slippage rate and fixed fee."""

CAPITAL_MODES = ("equity", "starting")


def floats(values: ArrayLike, name: str) -> Floats:
    """The values as the kernel wants them: C-contiguous, aligned, float64, read-only.

    Every caller's array becomes that one type, or numba would compile the kernel once per layout.
    """
    array = read_floats(values, name)
    if array.ndim != 2:
        raise PriceError(
            f"{name} has shape {array.shape}; expected 2 dimensions, a row per bar and a "
            f"column per asset"
        )
    return _frozen(array)


def integers(values: ArrayLike) -> Ints:
    """Row numbers, in the one type that the kernel was compiled for."""
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)  # an empty list is float64 to numpy
    if array.ndim != 1 or array.dtype.kind not in "iu":
        hint = "np.flatnonzero(mask)" if array.dtype.kind == "b" else "row numbers of close"
        raise PriceError(
            f"rebalance_bars has shape {array.shape} and dtype {array.dtype}; expected one "
            f"dimension of integers: pass {hint}"
        )
    if array.dtype != np.int64 or not (array.flags.c_contiguous and array.flags.aligned):
        array = np.require(array, np.int64, ("C", "A"))
    return _frozen(array)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view


def check_shapes(close: Floats, bars: Ints, weights: Floats) -> None:
    """A row of weights for each rebalance bar, a column for each asset."""
    if close.size == 0:
        raise PriceError(f"close has shape {close.shape}; pass at least one bar of one asset")
    expected = (len(bars), close.shape[1])
    if weights.shape != expected:
        raise PriceError(
            f"weights has shape {weights.shape} beside {len(bars)} rebalance bars and "
            f"{close.shape[1]} assets; expected {expected}: pass one row per rebalance bar, one "
            f"column per asset"
        )


def money(
    capital: float, fee_rate: float, slippage_rate: float, fixed_fee: float, mode: str
) -> Money:
    """The settings as floats that make sense."""
    capital, fixed_fee = _number(capital, "capital"), _number(fixed_fee, "fixed_fee")
    fee_rate, slippage_rate = _number(fee_rate, "fee_rate"), _number(slippage_rate, "slippage_rate")
    if not 0.0 < capital < math.inf:
        raise PriceError(f"capital is {capital}; pass an amount of money above 0")
    for name, rate in (("fee_rate", fee_rate), ("slippage_rate", slippage_rate)):
        if not 0.0 <= rate < 1.0:
            raise PriceError(f"{name} is {rate}; pass a ratio from 0 to below 1, 0.001 for 0.1%")
    if not 0.0 <= fixed_fee < math.inf:
        raise PriceError(f"fixed_fee is {fixed_fee}; pass an amount of money, 0 for none")
    if mode not in CAPITAL_MODES:
        raise PriceError(f"capital_mode is {mode!r}; pass 'equity' or 'starting'")
    return capital, fee_rate, slippage_rate, fixed_fee


def _number(value: float, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise PriceError(f"{name} is {value!r}; pass a number") from error


def lag(bars: int) -> int:
    """0 or 1, as an int: another type would be compiled for anew."""
    if isinstance(bars, (int, np.integer)) and 0 <= bars <= 1:
        return int(bars)
    raise PriceError(
        f"lag is {bars!r}; pass 0 to trade at the close of the rebalance bar, or 1 to trade at the "
        f"close of the bar after it"
    )


def check_values(close: Floats, bars: Ints, weights: Floats, labels: Labels | None = None) -> None:
    """Name the first bar, price or weight that cannot be traded on, if there is one."""
    n_bars = len(close)
    for at in np.flatnonzero((bars < 0) | (bars >= n_bars))[:1]:
        raise PriceError(
            f"rebalance_bars[{at}] is {bars[at]}, but close has the bars 0 to {n_bars - 1}; pass "
            f"row numbers of close"
        )
    for at in np.flatnonzero(bars[1:] <= bars[:-1])[:1] + 1:
        raise PriceError(
            f"rebalance_bars[{at}] is {bars[at]} after {bars[at - 1]}; expected strictly "
            f"increasing bars: sort them and merge the duplicates"
        )
    for bar, asset in np.argwhere((close <= 0.0) | (close == np.inf))[:1]:
        raise PriceError(
            f"close[{bar}, {asset}]{_at(labels, bar, asset)} is {close[bar, asset]}; expected a "
            f"price above 0, or NaN where there is none"
        )
    for row, asset in np.argwhere(np.isinf(weights))[:1]:
        raise PriceError(
            f"weights[{row}, {asset}]{_at(labels, bars[row], asset)} is {weights[row, asset]}; "
            f"expected a finite weight, or NaN to leave the position alone"
        )


def check_reach(close: Floats, high: Floats, low: Floats, labels: Labels | None) -> None:
    """Name the first high or low that is no price, or on the wrong side of its close."""
    for name, prices in (("high", high), ("low", low)):
        if prices.shape != close.shape:
            raise PriceError(
                f"{name} has shape {prices.shape} beside a close of shape {close.shape}; pass one "
                f"row per bar, one column per asset"
            )
        wrong = (prices <= 0.0) | (prices == np.inf)
        wrong |= prices < close if name == "high" else prices > close
        for bar, asset in np.argwhere(wrong)[:1]:
            side = "at or above" if name == "high" else "at or below"
            raise PriceError(
                f"{name}[{bar}, {asset}]{_at(labels, bar, asset)} is {prices[bar, asset]} beside a "
                f"close of {close[bar, asset]}; expected a price above 0 and {side} the close, or "
                f"NaN where there is none"
            )


def check_equity(equity: Floats) -> None:
    """Name the first bar at which the money is beyond the range of floats."""
    for bar in np.flatnonzero(~np.isfinite(equity))[:1]:
        raise PriceError(
            f"the equity at bar {bar} is {equity[bar]}, beyond the range of floats; pass smaller "
            f"weights, prices or capital"
        )


def refuse(
    close: Floats, bars: Ints, weights: Floats, equity: Floats, labels: Labels | None
) -> NoReturn:
    """Say why the kernel refused: it only knows that something was wrong."""
    check_values(close, bars, weights, labels)
    check_equity(equity)
    raise AssertionError("the kernel refused what the checks accept")


def _at(labels: Labels | None, bar: int, asset: int) -> str:
    if labels is None:
        return ""
    return f" ({labels.bars[bar]}, {labels.assets[asset]})"
