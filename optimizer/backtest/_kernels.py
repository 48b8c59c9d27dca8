"""The compiled kernel of the tracker: arrays in, arrays out, nothing validated by raising.

It does the arithmetic of its plain twin in `optimizer.reference`, operation for operation, so no
`fastmath`: it would reorder sums and delete the NaN tests. The kernel and all it calls stay in this
one file, because numba's disk cache notices changes to this file only.

No processor foresees which way an asset is traded, so there are no branches: assets go in blocks of
`LANES`, every case is computed, and the right one picked; only chains (cash, sums) go one by one.
"""

# mypy: disable-error-code="untyped-decorator"
# numba ships no types, so its decorators are untyped.

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from optimizer._compiled import compiled as _compiled
from optimizer.backtest._workspace import LANES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Records = NDArray[np.void]
Record = Any  # one element of Records: numba lets its fields be read and set as attributes

OPEN, CLOSED = 0, 1
REDUCED, CLOSE, FLIPPED, END_OF_DATA = 1, 2, 3, 4
DUST_RATIO = 1e-12
FINE, REFUSED = 0, 1

# Inlined by force: a call would copy the description of every array.
_inline = numba.njit(error_model="numpy", forceinline=True)


@_inline
def _pick(this: bool, one: Any, other: Any) -> Any:
    """One of two values, both there already: a function of its own is never made a branch."""
    return one if this else other


@_inline
def _row(prices: Floats | None, bar: int) -> Any:
    # Unsigned, here and below: a negative index would be counted from the end, at a price.
    return None if prices is None else prices[np.uintp(bar)]


@_inline
def _cost(
    quantity: float, price: float, fee_rate: float, slippage_rate: float, fixed_fee: float | None
) -> tuple[float, float]:
    """Fee and slippage. numba leaves out the branch of a fixed fee of None: its type says so."""
    value = abs(quantity) * price
    fee = value * fee_rate
    if fixed_fee is not None:
        fee = fee + fixed_fee
    return fee, value * slippage_rate


@_inline
def _excursion(held: float, cost: float, high: float, low: float, size: float) -> tuple[Any, Any]:
    best = _pick(held > 0.0, high - cost, cost - low) * size
    worst = _pick(held > 0.0, low - cost, cost - high) * size
    return best, worst


@_inline
def _left_alone(block: Record, n: int, first: int, weights: Floats) -> bool:
    """Whether the weights leave a block as it is: nothing is planned for it then."""
    busy = 0
    for lane in range(n):
        weight = weights[np.uintp(first + lane)]
        busy += (weight == weight) & ((weight != 0.0) | (block.quantity[lane] != 0.0))
    return busy == 0


@_inline
def _decide(
    held: float, target: float, price: float, weight: float, dust: float, solvent: bool
) -> tuple[bool, bool, bool, bool]:
    """Whether target and holding are on one side; what is done: an increase, an exit, an entry."""
    has = held != 0.0
    none = weight == 0.0
    moves = not abs(target - held) * price <= dust
    known = (price == price) & (weight == weight)
    acts = known & ((none & has) | (solvent & moves & (not none)))
    same = ((held > 0.0) & (target > 0.0)) | ((held < 0.0) & (target < 0.0))
    grows = acts & same & (abs(target) > abs(held))
    ends = acts & has & (not grows)
    opens = acts & (not same) & (target != 0.0)
    return same, grows, ends, opens


@_inline
def _next(
    opens: bool, opened: float, grows: bool, grown: float, ends: bool, carried: float, part: float
) -> Any:
    """What a position has gathered after the trades of a bar."""
    return _pick(opens, opened, _pick(grows, grown, _pick(ends, carried - part, carried)))


@_inline
def _plan(
    block: Record, plan: Record, n: int, first: int, bar: int, row: Floats, weights: Floats,
    equity: float, base: float, fee_rate: float, slippage_rate: float, fixed_fee: float | None,
) -> bool:  # fmt: skip
    """Bring a block to its targets, all but the running numbers; True if a weight is infinite."""
    dust, solvent, infinite = DUST_RATIO * equity, equity > 0.0, False
    for lane in range(n):
        price, weight = row[np.uintp(first + lane)], weights[np.uintp(first + lane)]
        infinite |= abs(weight) == np.inf
        held, cost = block.quantity[lane], block.cost[lane]
        high, low = block.high[lane], block.low[lane]
        fees, slippage, load = block.fees[lane], block.slippage[lane], block.load[lane]
        gain, loss, entry_bar = block.gain[lane], block.loss[lane], block.entry_bar[lane]
        target = _pick(weight == 0.0, 0.0, weight * base / price)
        same, grows, ends, opens = _decide(held, target, price, weight, dust, solvent)
        old, new = abs(held), abs(target)
        kept = _pick(same, target, 0.0)  # by the first leg, an increase or an exit
        leg = kept - held
        fee, slips = _cost(leg, price, fee_rate, slippage_rate, fixed_fee)
        entry_fee, entry_slips = _cost(target, price, fee_rate, slippage_rate, fixed_fee)
        plan.first_paid[lane] = _pick(grows | ends, leg * price, 0.0)
        plan.first_fee[lane] = _pick(grows | ends, fee, 0.0)
        plan.first_slippage[lane] = _pick(grows | ends, slips, 0.0)
        plan.second_paid[lane] = _pick(opens, target * price, 0.0)
        plan.second_fee[lane] = _pick(opens, entry_fee, 0.0)
        plan.second_slippage[lane] = _pick(opens, entry_slips, 0.0)

        # The slice that ends. Of all that is held the share is exactly 1.
        size = old - abs(kept)
        share = size / old
        fees_part, slippage_part, load_part = fees * share, slippage * share, load * share
        gain_part, loss_part = gain * share, loss * share
        best, worst = _excursion(held, cost, high, low, size)
        gross = _pick(held > 0.0, 1.0, -1.0) * (price - cost) * size
        plan.ends[lane] = ends
        plan.opens[lane] = opens
        plan.side[lane] = 1 if held > 0.0 else -1
        plan.reason[lane] = REDUCED if same else (FLIPPED if target != 0.0 else CLOSE)
        plan.entry_bar[lane] = entry_bar
        plan.units[lane] = size
        plan.cost[lane] = cost
        plan.fees[lane] = fees_part + fee
        plan.slippage[lane] = slippage_part + slips
        plan.gross[lane] = gross
        plan.net[lane] = gross - (fees_part + fee) - (slippage_part + slips)
        plan.mfe[lane] = _pick(gain_part > best, gain_part, best)
        plan.mae[lane] = _pick(loss_part < worst, loss_part, worst)
        plan.load[lane] = load_part

        # What stays; where all ended and nothing opens, the next opening sets it.
        best, worst = _excursion(held, cost, high, low, old)
        best, worst = _pick(gain > best, gain, best), _pick(loss < worst, loss, worst)
        average = (cost * old + price * (new - old)) / new
        added = _pick(opens, new * price, (new - old) * price) / equity
        now = _pick(opens | grows, target, _pick(ends, kept, held))
        block.quantity[lane] = now
        block.value[1, lane] = now * block.last[lane]
        block.cost[lane] = _pick(opens, price, _pick(grows, average, cost))
        block.high[lane] = _pick(opens | grows, price, high)
        block.low[lane] = _pick(opens | grows, price, low)
        block.entry_bar[lane] = _pick(opens, bar, entry_bar)
        block.fees[lane] = _next(opens, entry_fee, grows, fees + fee, ends, fees, fees_part)
        block.slippage[lane] = _next(
            opens, entry_slips, grows, slippage + slips, ends, slippage, slippage_part
        )
        block.load[lane] = _next(opens, added, grows, load + added, ends, load, load_part)
        block.gain[lane] = _next(opens, 0.0, grows, best, ends, gain, gain_part)
        block.loss[lane] = _next(opens, 0.0, grows, worst, ends, loss, loss_part)
    return infinite


@_inline
def _settle(
    block: Record, plan: Record, n: int, first: int, bar: int, row: Floats, trades: Records,
    n_trades: int, n_positions: int, cash: float, held: float, exposure: float,
) -> tuple[int, int, float, float, float]:  # fmt: skip
    """Pay, number and record the plan asset by asset; a record of no exit is written over."""
    for lane in range(n):
        cash = cash - plan.first_paid[lane] - plan.first_fee[lane] - plan.first_slippage[lane]
        cash = cash - plan.second_paid[lane] - plan.second_fee[lane] - plan.second_slippage[lane]
        held += block.value[1, lane]
        exposure += abs(block.value[1, lane])
        position, entry_bar = block.position[lane], plan.entry_bar[lane]
        trade = trades[np.uintp(n_trades)]
        trade.asset = first + lane
        trade.position = position
        trade.entry_bar = entry_bar
        trade.exit_bar = bar
        trade.bars_held = bar - entry_bar
        trade.side = plan.side[lane]
        trade.status = CLOSED
        trade.reason = plan.reason[lane]
        trade.size = plan.units[lane]
        trade.entry_price = plan.cost[lane]
        trade.exit_price = row[np.uintp(first + lane)]
        trade.fees = plan.fees[lane]
        trade.slippage = plan.slippage[lane]
        trade.gross_pnl = plan.gross[lane]
        trade.net_pnl = plan.net[lane]
        trade.mfe = plan.mfe[lane]
        trade.mae = plan.mae[lane]
        trade.margin_load = plan.load[lane]
        n_trades += plan.ends[lane]
        block.position[lane] = _pick(plan.opens[lane] != 0, n_positions, position)
        n_positions += plan.opens[lane]
    return n_trades, n_positions, cash, held, exposure


@_inline
def _any_infinite(weights: Floats) -> bool:
    infinite = False
    for weight in weights:
        infinite |= abs(weight) == np.inf
    return infinite


@_inline
def _see(
    price: float, last: float, top: float, bottom: float, lowest: float,
    high: Floats | None, low: Floats | None, asset: Any,
) -> tuple[float, float, float, float]:  # fmt: skip
    """The last price and the extremes after one more; numba leaves out a `high` of None."""
    there = price == price
    lowest = _pick(price < lowest, price, lowest)
    top = _pick(price > top, price, top)
    bottom = _pick(price < bottom, price, bottom)
    if high is not None and low is not None:
        top = _pick(there & (high[asset] > top), high[asset], top)
        bottom = _pick(there & (low[asset] < bottom), low[asset], bottom)
    return _pick(there, price, last), top, bottom, lowest


@_inline
def _mark(
    block: Record, n: int, first: int, bar: int, other: int, close: Floats, high: Floats | None,
    low: Floats | None,
) -> None:  # fmt: skip
    """Take the prices of two bars, the second may be the first again, and value the block."""
    row_0, highs_0, lows_0 = _row(close, bar), _row(high, bar), _row(low, bar)
    row_1, highs_1, lows_1 = _row(close, other), _row(high, other), _row(low, other)
    for lane in range(n):
        at = np.uintp(first + lane)
        held, last, lowest = block.quantity[lane], block.last[lane], block.lowest[lane]
        top, bottom = block.high[lane], block.low[lane]
        last, top, bottom, lowest = _see(row_0[at], last, top, bottom, lowest, highs_0, lows_0, at)
        block.value[0, lane] = held * last
        last, top, bottom, lowest = _see(row_1[at], last, top, bottom, lowest, highs_1, lows_1, at)
        block.value[1, lane] = held * last
        block.last[lane] = last
        block.high[lane] = top
        block.low[lane] = bottom
        block.lowest[lane] = lowest


@_inline
def _note(bar: int, equity: float, exposure: float, equities: Floats, loads: Floats) -> bool:
    """Write down what a bar is worth; True if that is beyond the range of floats."""
    # So are infinite prices: even a quantity of 0 times infinity is NaN.
    equities[np.uintp(bar)] = equity
    loads[np.uintp(bar)] = exposure / equity if equity > 0.0 else np.nan
    return not abs(equity) < np.inf


@_inline
def _hold(
    close: Floats, high: Floats | None, low: Floats | None, start: int, stop: int,
    book: Records, cash: float, equities: Floats, loads: Floats,
) -> bool:  # fmt: skip
    """Value the bars from `start` up to `stop`, where nothing is traded; True if one is refused."""
    refused = False
    # Two at a time: a sum waits for its own last addition only.
    for bar in range(start, stop, 2):
        other = min(bar + 1, stop - 1)  # a bar that is left over goes with itself
        held_0, exposure_0, held_1, exposure_1 = 0.0, 0.0, 0.0, 0.0
        for at in range(book.shape[0]):
            n = min(LANES, close.shape[1] - at * LANES)
            _mark(book[at], n, at * LANES, bar, other, close, high, low)
            value = book[at].value
            for lane in range(n):
                held_0 += value[0, lane]
                held_1 += value[1, lane]
                exposure_0 += abs(value[0, lane])
                exposure_1 += abs(value[1, lane])
        refused |= _note(bar, cash + held_0, exposure_0, equities, loads)
        refused |= _note(other, cash + held_1, exposure_1, equities, loads)
    return refused


@_inline
def _start(book: Records) -> None:
    """Forget what an earlier run left; the rest of a holding is set when it is opened."""
    for block in book:
        for lane in range(LANES):
            block.quantity[lane] = block.last[lane] = 0.0
            block.lowest[lane] = np.inf
            block.entry_bar[lane] = block.position[lane] = 0


@_inline
def _finish(book: Records, n_assets: int, bar: int, trades: Records, n_trades: int) -> Any:
    """Record what is left open, at no cost; how many trades, and if a price was not above 0."""
    refused = False
    for asset in range(n_assets):
        block, lane = book[asset // LANES], asset % LANES
        refused |= block.lowest[lane] <= 0.0
        held, cost, price = block.quantity[lane], block.cost[lane], block.last[lane]
        if held == 0.0:
            continue
        best, worst = _excursion(held, cost, block.high[lane], block.low[lane], abs(held))
        side = 1 if held > 0.0 else -1
        gross = side * (price - cost) * abs(held)
        trade = trades[np.uintp(n_trades)]
        n_trades += 1
        trade.asset = asset
        trade.position = block.position[lane]
        trade.entry_bar = block.entry_bar[lane]
        trade.exit_bar = bar
        trade.bars_held = bar - block.entry_bar[lane]
        trade.side = side
        trade.status = OPEN
        trade.reason = END_OF_DATA
        trade.size = abs(held)
        trade.entry_price = cost
        trade.exit_price = price
        trade.fees = block.fees[lane]
        trade.slippage = block.slippage[lane]
        trade.gross_pnl = gross
        trade.net_pnl = gross - block.fees[lane] - block.slippage[lane]
        trade.mfe = _pick(block.gain[lane] > best, block.gain[lane], best)
        trade.mae = _pick(block.loss[lane] < worst, block.loss[lane], worst)
        trade.margin_load = block.load[lane]
    return n_trades, refused


@_compiled
def track_trades(
    close: Floats, high: Floats | None, low: Floats | None,
    bars: Ints, weights: Floats, lag: int | None,
    capital: float, fee_rate: float, slippage_rate: float, fixed_fee: float | None, on_equity: bool,
    book: Records, plans: Records, trades: Records, equities: Floats, loads: Floats,
) -> tuple[int, int]:  # fmt: skip
    """Fill `trades`, `equities` and `loads`; returns how many trades, and FINE or REFUSED.

    `book` (a record per LANES assets) and `plans` (one) are room to work in; `trades` has room for
    one record per asset more than there are weights. `high` and `low` are both None or both checked
    before; `lag` is None or 1, `fixed_fee` None or above 0. REFUSED: a bar out of order or range, a
    price or weight that cannot be traded on, or an equity that overflowed. The caller looks for the
    place; of what was filled then only the equity up to its first overflow means something.
    """
    n_bars, n_assets = close.shape
    _start(book)
    cash = capital
    refused = False
    zero: Any = np.int64(0)  # for the number 0 alone numba would compile what it is passed to twice
    n_trades, n_positions, start = zero, zero, zero
    for turn in range(bars.shape[0] + 1):
        bar = n_bars - 1
        trades_on = turn < bars.shape[0]
        if trades_on and lag is not None and (bars[turn] < 0 or bars[turn] == bar):
            in_order = bars[turn] >= 0 and turn == bars.shape[0] - 1
            refused |= not in_order or _any_infinite(weights[turn])
            trades_on = False
        if trades_on:
            bar = bars[turn] if lag is None else bars[turn] + lag
            if not start <= bar < n_bars:
                return 0, REFUSED
        refused |= _hold(close, high, low, start, bar + 1, book, cash, equities, loads)
        if not trades_on:
            break
        equity = equities[bar]
        if not abs(equity) < np.inf:  # now: after the trades of the bar it may be finite again
            return 0, REFUSED
        base = equity if on_equity else capital
        held = exposure = 0.0
        for at in range(book.shape[0]):
            block, first = book[at], at * LANES
            n = min(LANES, n_assets - first)
            if _left_alone(block, n, first, weights[turn]):
                for lane in range(n):
                    held += block.value[1, lane]
                    exposure += abs(block.value[1, lane])
                continue
            refused |= _plan(
                block, plans[0], n, first, bar, close[bar], weights[turn], equity, base,
                fee_rate, slippage_rate, fixed_fee,
            )  # fmt: skip
            n_trades, n_positions, cash, held, exposure = _settle(
                block, plans[0], n, first, bar, close[bar], trades, n_trades, n_positions,
                cash, held, exposure,
            )  # fmt: skip
        refused |= _note(bar, cash + held, exposure, equities, loads)
        start = bar + 1
    n_trades, unpriced = _finish(book, n_assets, n_bars - 1, trades, n_trades)
    return n_trades, REFUSED if refused or unpriced else FINE
