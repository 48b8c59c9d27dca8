"""Compiled kernels of the backtest: arrays in, arrays out, nothing validated by raising.

Each does the arithmetic of its plain twin in `optimizer.reference`, operation for operation, so no
`fastmath`: it would reorder sums and delete the NaN tests. A kernel and all it calls stay in this
one file, because numba's disk cache notices changes to this file only.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Records = NDArray[np.void]
Record = Any  # one element of Records: numba lets its fields be read and set as attributes

OPEN, CLOSED = 0, 1
REDUCED, CLOSE, FLIPPED, END_OF_DATA = 1, 2, 3, 4
DUST_RATIO = 1e-12

FINE, REFUSED = 0, 1

# np.record: so its fields are attributes without the compiler too (NUMBA_DISABLE_JIT).
HOLDING_DTYPE = np.dtype(
    (
        np.record,
        [
            ("quantity", "f8"),
            ("last", "f8"),
            ("high", "f8"),
            ("low", "f8"),
            ("cost", "f8"),
            ("fees", "f8"),
            ("slippage", "f8"),
            ("gain", "f8"),
            ("loss", "f8"),
            ("load", "f8"),
            ("entry_bar", "i8"),
            ("position", "i8"),
        ],
    )
)
ACCOUNT_DTYPE = np.dtype(
    (
        np.record,
        [
            ("cash", "f8"),
            ("fee_rate", "f8"),
            ("slippage_rate", "f8"),
            ("n_positions", "i8"),
            ("n_trades", "i8"),
        ],
    )
)

# Inlined by force: a call would copy the description of every array, once per trade.
_inline = numba.njit(error_model="numpy", forceinline=True)


@_inline
def _pay(
    account: Record, fixed_fee: float | None, quantity: float, price: float
) -> tuple[float, float]:
    """Buy or sell. numba leaves the branch out where the fixed fee is None: its type says so."""
    value = abs(quantity) * price
    fee = value * account.fee_rate
    if fixed_fee is not None:
        fee = fee + fixed_fee
    slippage = value * account.slippage_rate
    account.cash = account.cash - quantity * price - fee - slippage
    return fee, slippage


@_inline
def _excursion(holding: Record, size: float) -> tuple[float, float]:
    if holding.quantity > 0.0:
        return (holding.high - holding.cost) * size, (holding.low - holding.cost) * size
    return (holding.cost - holding.low) * size, (holding.cost - holding.high) * size


@_inline
def _open(
    account: Record, fixed_fee: float | None, holding: Record, bar: int, target: float,
    price: float, equity: float,
) -> None:  # fmt: skip
    fee, slippage = _pay(account, fixed_fee, target, price)
    holding.quantity = target
    holding.cost = price
    holding.high = price
    holding.low = price
    holding.fees = fee
    holding.slippage = slippage
    holding.gain = 0.0
    holding.loss = 0.0
    holding.load = abs(target) * price / equity
    holding.entry_bar = bar
    holding.position = account.n_positions
    account.n_positions += 1


@_inline
def _increase(
    account: Record, fixed_fee: float | None, holding: Record, target: float, price: float,
    equity: float,
) -> None:  # fmt: skip
    held = holding.quantity
    gain, loss = _excursion(holding, abs(held))
    holding.gain = holding.gain if holding.gain > gain else gain
    holding.loss = holding.loss if holding.loss < loss else loss
    holding.high = price
    holding.low = price
    added = abs(target) - abs(held)
    holding.cost = (holding.cost * abs(held) + price * added) / abs(target)
    fee, slippage = _pay(account, fixed_fee, target - held, price)
    holding.fees += fee
    holding.slippage += slippage
    holding.load += added * price / equity
    holding.quantity = target


@_inline
def _exit(
    account: Record, fixed_fee: float | None, holding: Record, trades: Records,
    asset: int, bar: int, target: float, price: float, reason: int,
) -> None:  # fmt: skip
    """Record a slice and take its share out of the holding: all of it, unless it is reduced.

    Every caller's reason is known when this is compiled, and with it what is left out.
    """
    held = holding.quantity
    size, share = abs(held), 1.0
    if reason == REDUCED:
        size = abs(held) - abs(target)
        share = size / abs(held)
    fee, slippage = 0.0, 0.0
    if reason != END_OF_DATA:
        fee, slippage = _pay(account, fixed_fee, target - held, price)
    entry_fees = holding.fees * share
    entry_slippage = holding.slippage * share
    load = holding.load * share
    gain = holding.gain * share
    loss = holding.loss * share
    best, worst = _excursion(holding, size)
    side = 1 if held > 0.0 else -1
    fees = entry_fees + fee
    slips = entry_slippage + slippage
    gross = side * (price - holding.cost) * size

    trade = trades[account.n_trades]
    account.n_trades += 1
    trade.asset = asset
    trade.position = holding.position
    trade.entry_bar = holding.entry_bar
    trade.exit_bar = bar
    trade.bars_held = bar - holding.entry_bar
    trade.side = side
    trade.status = OPEN if reason == END_OF_DATA else CLOSED
    trade.reason = reason
    trade.size = size
    trade.entry_price = holding.cost
    trade.exit_price = price
    trade.fees = fees
    trade.slippage = slips
    trade.gross_pnl = gross
    trade.net_pnl = gross - fees - slips
    trade.mfe = gain if gain > best else best
    trade.mae = loss if loss < worst else worst
    trade.margin_load = load

    if reason == REDUCED:  # else the next opening sets them
        holding.fees -= entry_fees
        holding.slippage -= entry_slippage
        holding.load -= load
        holding.gain -= gain
        holding.loss -= loss
    holding.quantity = target


@_inline
def _trade(
    account: Record, fixed_fee: float | None, holding: Record, trades: Records,
    asset: int, bar: int, target: float, price: float, equity: float,
) -> None:  # fmt: skip
    """Bring one holding to its target by one exit, one entry, or both."""
    held = holding.quantity
    if (held > 0.0 and target > 0.0) or (held < 0.0 and target < 0.0):
        if abs(target) > abs(held):
            _increase(account, fixed_fee, holding, target, price, equity)
        else:
            _exit(account, fixed_fee, holding, trades, asset, bar, target, price, REDUCED)
        return
    if held != 0.0:
        reason = FLIPPED if target != 0.0 else CLOSE
        _exit(account, fixed_fee, holding, trades, asset, bar, 0.0, price, reason)
    if target != 0.0:
        _open(account, fixed_fee, holding, bar, target, price, equity)


@_inline
def _rebalance(
    account: Record, fixed_fee: float | None, book: Records, trades: Records,
    bar: int, row: Floats, weights: Floats, equity: float, base: float,
) -> bool:  # fmt: skip
    """Trade one bar; True if a weight is infinite."""
    dust = DUST_RATIO * equity
    infinite = False
    for asset in range(row.shape[0]):
        price = row[asset]
        weight = weights[asset]
        infinite |= abs(weight) == np.inf
        if price != price or weight != weight:
            continue
        holding = book[asset]
        target = 0.0
        if weight == 0.0:
            if holding.quantity == 0.0:
                continue
        else:
            if not equity > 0.0:
                continue
            target = weight * base / price
            if abs(target - holding.quantity) * price <= dust:
                continue
        _trade(account, fixed_fee, holding, trades, asset, bar, target, price, equity)
    return infinite


@_inline
def _any_infinite(weights: Floats) -> bool:
    infinite = False
    for asset in range(weights.shape[0]):
        infinite |= abs(weights[asset]) == np.inf
    return infinite


@_inline
def _totals(book: Records) -> tuple[float, float]:
    held = 0.0
    exposure = 0.0
    for asset in range(book.shape[0]):
        value = book[asset].quantity * book[asset].last
        held += value
        exposure += abs(value)
    return held, exposure


@_inline
def _hold(
    close: Floats, high: Floats | None, low: Floats | None, start: int, stop: int,
    book: Records, cash: float, equities: Floats, loads: Floats,
) -> bool:  # fmt: skip
    """Value the bars from `start` up to `stop`, where nothing is traded; True if one is refused.

    numba leaves out the branches of a `high` that is None: its type says so.
    """
    refused = False
    for bar in range(start, stop):
        held = 0.0
        exposure = 0.0
        lowest = np.inf
        for asset in range(close.shape[1]):
            price = close[bar, asset]
            holding = book[asset]
            lowest = price if price < lowest else lowest
            known = price if price == price else holding.last
            holding.last = known
            holding.high = price if price > holding.high else holding.high
            holding.low = price if price < holding.low else holding.low
            if high is not None and low is not None and price == price:
                top = high[bar, asset]
                bottom = low[bar, asset]
                holding.high = top if top > holding.high else holding.high
                holding.low = bottom if bottom < holding.low else holding.low
            value = holding.quantity * known
            held += value
            exposure += abs(value)
        equity = cash + held
        # An infinite price needs no test of its own: it makes the equity infinite or NaN, because
        # even a quantity of 0 times infinity is NaN.
        refused |= lowest <= 0.0 or not abs(equity) < np.inf
        equities[bar] = equity
        loads[bar] = exposure / equity if equity > 0.0 else np.nan
    return refused


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled when first called; kept on disk where a folder for it can be written to."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # it is set when numba is imported
        # Without the compiler numpy's scalars would warn where machine floats do not.
        return np.errstate(all="ignore")(function)
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return numba.njit(**options)(function)


@_inline
def _start(
    book: Records, account: Record, capital: float, fee_rate: float, slippage_rate: float
) -> None:
    """Forget what an earlier run left; the rest of a holding is set when it is opened."""
    for asset in range(book.shape[0]):
        book[asset].quantity = 0.0
        book[asset].last = 0.0
    account.cash = capital
    account.fee_rate = fee_rate
    account.slippage_rate = slippage_rate
    account.n_positions = 0
    account.n_trades = 0


@_compiled
def track_trades(
    close: Floats, high: Floats | None, low: Floats | None,
    bars: Ints, weights: Floats, lag: int | None,
    capital: float, fee_rate: float, slippage_rate: float, fixed_fee: float | None, on_equity: bool,
    book: Records, accounts: Records, trades: Records, equities: Floats, loads: Floats,
) -> tuple[int, int]:  # fmt: skip
    """Fill `trades`, `equities` and `loads`; returns how many trades, and FINE or REFUSED.

    `book` (a record per asset) and `accounts` (one) are room to work in. `high` and `low` are both
    None or both checked before; `lag` is None or 1, `fixed_fee` None or above 0. REFUSED: a bar out
    of order or range, a price or weight that cannot be traded on, or an equity that overflowed. The
    caller looks for the place; what was filled then means nothing.
    """
    n_bars, n_assets = close.shape
    account = accounts[0]
    _start(book, account, capital, fee_rate, slippage_rate)
    refused = False
    start = 0
    for turn in range(bars.shape[0]):
        bar = bars[turn]
        if lag is not None:
            if bar < 0 or bar == n_bars - 1:
                in_order = bar >= 0 and turn == bars.shape[0] - 1
                refused |= not in_order or _any_infinite(weights[turn])
                break
            bar += lag
        if not start <= bar < n_bars:
            return 0, REFUSED
        refused |= _hold(close, high, low, start, bar + 1, book, account.cash, equities, loads)
        equity = equities[bar]
        base = equity if on_equity else capital
        refused |= _rebalance(
            account, fixed_fee, book, trades, bar, close[bar], weights[turn], equity, base
        )
        held, exposure = _totals(book)
        equity = account.cash + held
        refused |= not abs(equity) < np.inf
        equities[bar] = equity
        loads[bar] = exposure / equity if equity > 0.0 else np.nan
        start = bar + 1
    refused |= _hold(close, high, low, start, n_bars, book, account.cash, equities, loads)
    for asset in range(n_assets):
        holding = book[asset]
        if holding.quantity != 0.0:
            _exit(
                account,
                fixed_fee,
                holding,
                trades,
                asset,
                n_bars - 1,
                0.0,
                holding.last,
                END_OF_DATA,
            )
    return account.n_trades, REFUSED if refused else FINE
