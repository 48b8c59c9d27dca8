"""Whole parameter spaces of a strategy: every combination of averages, RSI and thresholds.

The strategy, long only. At the close of a bar, while nothing is held, it enters where the fast
average is above the slow one, the RSI is below `entry`, and not above `exit`. It leaves where the
RSI is above `exit`, or the fast average no longer above the slow one. Features that need more bars
than there are compare as false. With `lag` 1 the trade happens at the close of the bar after.

Averages are `optimizer.backtest.features.rolling_mean`, the RSI is `rsi` there (Wilder's).
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer._compat import SlowFallbackWarning, available
from optimizer._sweep_threads import Interrupts, in_threads, in_turn
from optimizer.backtest import _tradable
from optimizer.backtest._labels import read_close
from optimizer.backtest._sweep_engines import (
    BarEngine,
    Engine,
    EventEngine,
    PlainEngine,
    read_prices,
)
from optimizer.backtest._sweep_heatmap import HeatMap
from optimizer.backtest._sweep_portfolio import (
    PlainPortfolioEngine,
    PortfolioEngine,
    Refused,
    ends_of_months,
)
from optimizer.backtest._sweep_result import COLUMNS, SweepResult, compacted, new_columns
from optimizer.backtest._sweep_space import DEFAULT_SPACE, Indexes, Parameters, chunk_of
from optimizer.backtest.tracker import CapitalMode
from optimizer.errors import PriceError
from optimizer.space import SearchSpace

__all__ = [
    "COLUMNS",
    "DEFAULT_SPACE",
    "HeatMap",
    "SweepInterrupted",
    "SweepRefused",
    "SweepResult",
    "sweep",
    "sweep_portfolio",
]

Floats = NDArray[np.float64]
EngineName = Literal["events", "bars", "cuda", "plain"]
Progress = Callable[[int, int], object]
Space = SearchSpace | Mapping[str, Any]


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a sweep; what was finished is kept.

    Attributes:
        result: the finished combinations, in order.
    """

    def __init__(self, result: SweepResult, asked: int) -> None:
        super().__init__(
            f"interrupted after {len(result)} of {asked} combinations; `.result` has them"
        )
        self.result, self._asked = result, asked

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result, self._asked)


class SweepRefused(PriceError):
    """A combination that cannot be traded on ended a sweep; what was finished is kept.

    Attributes:
        number: of the combination, its index in `space.grid()`.
        result: the finished combinations, in order.
    """

    def __init__(self, message: str, number: int, result: SweepResult) -> None:
        super().__init__(message)
        self.number, self.result = number, result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.number, self.result)


def sweep(
    close: ArrayLike,
    space: Space = DEFAULT_SPACE,
    *,
    combinations: Any = None,
    fee_rate: float = 0.0,
    lag: int = 0,
    engine: EngineName = "events",
    threads: int | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Run every combination of parameters on one asset.

    Each run starts with an equity of 1 and is fully invested while it holds; a fee is paid out of
    the equity at either end, so a trade multiplies it by price ratio x (1 - fee) / (1 + fee). An
    open trade at the end is valued at the last price, without the fee of its end; only closed
    trades count as trades.

    Columns of the result, each an array with a row per combination:

    - `trades`, `wins`: closed trades, and those that returned more than 0; int32.
    - `final_equity`: at the last bar, as a ratio of the equity at the start.
    - `mean_return`, `std_return`, `max_return`, `min_return`: of the closed trades, after fees, as
      ratios of the equity they were entered with; the standard deviation is that of a sample (n -
      1). NaN without trades, the deviation without two.
    - `exposure`: share of the bars after whose trades the asset is held.
    - `max_drawdown`: largest fall of the equity from an earlier peak, as a ratio of that peak, over
      all bars.

    All engines give the same bits, whatever the number of threads, except that "events" puts the
    drawdown together from tables: it is the same within 1e-12. Without numba the plain twin
    (`optimizer.reference.sweep`) answers, with one warning; so does the CPU for "cuda" without a
    GPU. Pure, and safe to call from many threads.

    Cost: "events" takes a step per trade and some passes over the bars per feature; "bars" and
    "cuda" take a step per bar and combination. Memory: 64 bytes per combination for the columns,
    and at most 64 MB beside them while there are fewer than about 100,000 bars, whatever the size
    of the space and the number of threads: where features of all windows and threads would take
    more, fewer threads run.

    Ctrl-C counts when the chunks that run are finished, and however often it is pressed, they are
    among what is kept.

    Parameters
    ----------
    close
        (T,) prices of at least 1e-200, without gaps.
    space
        The values of `fast`, `slow` (windows of the averages) and `rsi` (its period), in bars, and
        of `entry` and `exit` (limits of the RSI, 0 to 100): a `SearchSpace`, or a mapping of these
        names to lists or specs. Its order numbers the combinations, as `space.grid()` does.
    combinations
        None for all; numbers of combinations (a range, slice or array), dicts of parameters, or a
        part of the space's grid.
    fee_rate
        Ratio of the traded value, 0 to below 1.
    lag
        Bars between the close that decides and the one that is traded at, 0 or 1.
    engine
        "events" jumps from entry to exit; "bars" walks; "cuda" walks on a GPU; "plain" is the
        twin.
    threads
        None for one per processor that this process may use.
    progress
        Called in this thread as `progress(finished, asked)` after each chunk.

    Returns
    -------
    SweepResult
        Rows in the order of `combinations`.

    Raises
    ------
    PriceError
        A price or setting that cannot be traded on, with its place.
    SpaceError
        A space with other parameters or without end, a combination that is not in it, or more of
        them than there is memory for.
    SweepInterrupted
        Ctrl-C; it carries what was finished, nothing while the engine is being made.

    Examples
    --------
    >>> from optimizer import load_sp500
    >>> space = {"fast": [5, 20], "slow": [60, 120], "rsi": [14], "entry": [50, 60], "exit": [70]}
    >>> result = sweep(load_sp500().close[:, 0], space)
    >>> len(result), result.top(1, by="mean_return").params(0)
    (8, {'fast': 20, 'slow': 120, 'rsi': 14, 'entry': 60, 'exit': 70})
    """
    prices = read_prices(close)
    parameters = Parameters(space)
    indexes = parameters.choose(combinations)
    fee = _tradable.money(1.0, fee_rate, 0.0, 0.0, "equity")[1]
    lag, threads = _tradable.lag(lag), _threads(threads)
    chosen = functools.partial(_engine(engine), prices, parameters, fee, lag, threads)
    return _run(chosen, parameters, indexes, threads, progress)


def sweep_portfolio(
    close: Any,
    space: Space = DEFAULT_SPACE,
    *,
    rebalance_bars: ArrayLike | None = None,
    weight: float | None = None,
    combinations: Any = None,
    capital: float = 100_000.0,
    fee_rate: float = 0.0,
    slippage_rate: float = 0.0,
    fixed_fee: float = 0.0,
    lag: int = 0,
    capital_mode: CapitalMode = "equity",
    threads: int | None = None,
    progress: Progress | None = None,
) -> SweepResult:
    """Run every combination of parameters on a portfolio, the whole tracker for each.

    At each rebalance bar an asset that the strategy would enter is traded to `weight`, one that it
    would leave to 0, and any other is left alone, as it is one without a price. `track_trades`
    says what follows from these weights. The columns are those of `sweep`, with:

    - `trades`: closed records of the tracker, slices of positions among them.
    - returns: net pnl over the value at entry.
    - `exposure`: mean of the margin load over the bars where the equity is above 0.
    - `final_equity`: a ratio of `capital`.

    Cost: one run of the tracker per combination. Memory as of `sweep`, and room for the records of
    one run per thread.

    Parameters
    ----------
    close
        (T, N) prices, NaN where there is none: a `PricePanel`, a pandas DataFrame or an array.
    space
        As of `sweep`.
    rebalance_bars
        (R,) rows of `close`, increasing. None: the ends of the months, where `close` has dates.
    weight
        Ratio of the equity that an entered asset is traded to. None: 1 / N.
    combinations
        As of `sweep`.
    capital, fee_rate, slippage_rate, fixed_fee, lag, capital_mode
        As of `track_trades`.
    threads, progress
        As of `sweep`.

    Returns
    -------
    SweepResult
        Rows in the order of `combinations`.

    Raises
    ------
    PriceError, SpaceError, SweepInterrupted
        As `sweep` and `track_trades`.
    SweepRefused
        A combination whose equity leaves the range of floats; it carries what was finished.
    """
    values, labels = read_close(close)
    prices = _tradable.floats(values, "close")
    if rebalance_bars is None:
        if labels is None or labels.days is None:
            raise PriceError("close has no dates; pass rebalance_bars, such as range(20, T, 21)")
        rebalance_bars = ends_of_months(labels.bars)
    bars = _tradable.integers(rebalance_bars)
    _tradable.check_shapes(prices, bars, np.empty((len(bars), prices.shape[1])))
    _tradable.check_values(prices, bars, np.empty((0, prices.shape[1])), labels)
    parameters = Parameters(space)
    indexes = parameters.choose(combinations)
    threads = _threads(threads)
    share = 1.0 / prices.shape[1] if weight is None else _finite(weight, "weight")
    money = _tradable.money(capital, fee_rate, slippage_rate, fixed_fee, capital_mode)
    names = "capital", "fee_rate", "slippage_rate", "fixed_fee"
    settings: dict[str, Any] = dict(zip(names, money, strict=True))
    settings |= {"lag": _tradable.lag(lag), "capital_mode": capital_mode}
    compiled = available("numba")
    engine: Callable[..., Engine] = PortfolioEngine if compiled else PlainPortfolioEngine
    chosen = functools.partial(engine, prices, bars, parameters, share, settings, threads)
    return _run(chosen, parameters, indexes, threads, progress)


# --- what was asked for


def _finite(value: float, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise PriceError(f"{name} is {value!a:.80}; pass a number") from error
    if not math.isfinite(number):
        raise PriceError(f"{name} is {number}; pass a finite number")
    return number


def _threads(threads: int | None) -> int:
    if threads is None:
        usable = getattr(os, "sched_getaffinity", None)  # not on every system
        return len(usable(0)) if usable else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise PriceError(f"threads is {threads!a:.80}; pass an integer of at least 1, or None")
    return threads


def _engine(name: str) -> Callable[..., Engine]:
    """The engine of that name, or what answers in its place."""
    if name not in ("events", "bars", "cuda", "plain"):
        raise PriceError(f"engine is {name!a:.80}; pass 'events', 'bars', 'cuda' or 'plain'")
    if name == "plain" or not available("numba"):
        return PlainEngine
    if name == "cuda" and _gpu():
        from optimizer.backtest._sweep_cuda import CudaEngine

        return CudaEngine
    return BarEngine if name == "bars" else EventEngine


@functools.cache
def _gpu() -> bool:
    """Whether numba can use a GPU here; the first "no" warns once, with the reason."""
    try:
        from numba import cuda

        # numba's own functions bear no types.
        if cuda.is_available():  # type: ignore[no-untyped-call]
            return True
        reason = str(cuda.cuda_error() or "no GPU was found")  # type: ignore[no-untyped-call]
    except Exception as error:  # a broken driver may raise anything
        reason = str(error) or type(error).__name__
    warnings.warn(
        f"numba cannot use CUDA here ({reason}): engine='cuda' runs on the CPU, as engine='events' "
        f"(same results); it needs an NVIDIA GPU, its driver and the CUDA toolkit",
        SlowFallbackWarning,
        stacklevel=4,
    )
    return False


# --- chunk after chunk


def _run(
    make: Callable[[], Engine],
    parameters: Parameters,
    indexes: Indexes,
    threads: int,
    progress: Progress | None,
) -> SweepResult:
    """Run all combinations; where that is cut short, raise with those of the finished chunks."""
    asked = len(indexes)
    counts, measures = new_columns(asked)
    finished, chunk, name = bytearray(), 1, "nothing"

    def kept() -> SweepResult:  # only when no chunk runs any more
        columns = compacted(bytes(finished), chunk, indexes, counts, measures)
        return SweepResult(parameters, *columns, name)

    with Interrupts() as interrupts:
        try:
            engine = make()
            chunk, name = engine.chunk, engine.name
            finished = bytearray(-(-asked // chunk))

            def work(number: int) -> int:
                start = number * chunk
                numbers = chunk_of(indexes, start, min(start + chunk, asked))
                engine.run(numbers, counts, measures, start)
                finished[number] = 1  # the last step: what is marked is complete
                return len(numbers)

            def tell(rows: int) -> None:
                if progress is not None:
                    progress(rows, asked)
                if interrupts.came:
                    raise KeyboardInterrupt

            if interrupts.came:
                raise KeyboardInterrupt
            threads = min(threads, engine.threads or threads, len(finished))
            if threads > 1:
                in_threads(work, len(finished), threads, tell)
            else:
                in_turn(work, len(finished), tell)
        except KeyboardInterrupt:
            raise SweepInterrupted(kept(), asked) from None
        except Refused as refused:
            raise SweepRefused(str(refused), refused.number, kept()) from refused
    return SweepResult(parameters, indexes, counts, measures, name)
