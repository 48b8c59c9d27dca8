"""Features of prices: at each bar a number that follows from that bar and those before it.

What holds for all of them:

- **Form.** Values come as one series (T,) or as a matrix (T, N), a row per bar and a column per
  asset; what is returned has the same shape. A pandas Series or DataFrame gives one, labels kept.
- **Causal.** A feature at a bar never depends on later bars. So the features of the first t bars
  are the first t rows of the features of all, to the bit.
- **Warm-up.** NaN until there are enough bars.
- **NaN** is no value. A window that holds one has no feature: NaN, until it has left the window.
  The recursive features (`ewma`, `rsi`, `atr`) are those of the series without its NaN, each put
  at the bar it comes from; they are NaN where the value is.
- **Exact.** Only sums, products, quotients and roots are taken, which every machine rounds the
  same way; the compiled kernels, the plain twins (`optimizer.reference.features`), and
  `FeatureStream` for any cut of the bars, all give the same bits. (Which bits a NaN has is left
  open.)
- **No drift.** Nothing that left a window is taken away from a sum, so no rounding is left behind;
  each docstring bounds the error. u is 2**-53; bounds hold for values whose squares neither
  overflow nor underflow.
- Pure, and safe to call from many threads. Cost: constant a bar, whatever the window; and new
  memory for the result, unless `out` is given: an array of its shape, float64 and C-contiguous,
  that is filled and returned. It can be used again and again, which for short features matters.

Errors are `PriceError` and name the place: what is no real number, an infinite value, a number of
bars that is no integer or too small, an `out` that does not fit. Without numba the plain twins
answer, with one warning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest._feature_edge import Given, read_values
from optimizer.backtest._feature_state import (
    KINDS,
    FeatureName,
    State,
    begin,
    check_bars,
    check_values,
)
from optimizer.errors import PriceError

__all__ = [
    "FeatureName",
    "FeatureStream",
    "atr",
    "ewma",
    "momentum",
    "rolling_mean",
    "rsi",
    "volatility",
    "zscore",
]

Floats = NDArray[np.float64]

_MOST_BARS = 2**31


def rolling_mean(values: Any, window: int, *, out: Floats | None = None) -> Any:
    """The mean of the last `window` values (the simple moving average).

    A window of equal values has exactly that mean. Error at most u x |mean| + (window + 3) x u x
    the range of the window. NaN for the first window - 1 bars.

    The sums are those of the two-stack window: Tangwongsan, Hirzel, Schneider, "Low-latency
    sliding-window aggregation in worst-case constant time", DEBS 2017.

    Parameters
    ----------
    values
        (T,) or (T, N), any unit.
    window : int
        Bars, at least 1.

    Returns
    -------
    array or table of the same shape, unit of the values

    Examples
    --------
    >>> rolling_mean([1.0, 2.0, 6.0, 7.0], 3)
    array([nan, nan,  3.,  5.])
    """
    return _feature("rolling_mean", window, (values,), out)


def ewma(values: Any, span: int, *, out: Floats | None = None) -> Any:
    """The exponentially weighted moving average of weight 2 / (span + 1).

    mean += (value - mean) x weight, begun at the first value. NaN for the first span - 1 values.
    Error at most (span + 8) x u x the largest value so far.

    Roberts, "Control chart tests based on geometric moving averages", Technometrics 1 (1959).
    pandas calls it `ewm(span=span, adjust=False, min_periods=span, ignore_na=True).mean()`.

    Parameters
    ----------
    values
        (T,) or (T, N), any unit.
    span : int
        Bars, at least 1.

    Returns
    -------
    array or table of the same shape, unit of the values
    """
    return _feature("ewma", span, (values,), out)


def rsi(values: Any, period: int, *, out: Floats | None = None) -> Any:
    """The relative strength index: the share of gains in the moves, 0 to 100.

    100 x gain / (gain + loss), where gain and loss are the means of the upward and the downward
    changes: at first over `period` changes, then mean += (change - mean) / period. 50 where
    nothing has moved. NaN for the first `period` bars. Error at most 100 x (period + 8) x u x the
    largest change so far / (gain + loss).

    Wilder, "New Concepts in Technical Trading Systems" (1978).

    Parameters
    ----------
    values
        (T,) or (T, N), any unit.
    period : int
        Bars, at least 1.

    Returns
    -------
    array or table of the same shape, 0 to 100
    """
    return _feature("rsi", period, (values,), out)


def atr(high: Any, low: Any, close: Any, period: int, *, out: Floats | None = None) -> Any:
    """The average true range: how far prices move in a bar, gaps included.

    The true range of a bar is the largest of high - low, |high - last close| and |low - last
    close|; high - low in the first. It is averaged at first over `period` bars, then by mean +=
    (range - mean) / period. NaN for the first period - 1 bars, and where one of the three is NaN:
    such a bar is left out as a whole. Error at most (period + 8) x u x the largest true range.

    Wilder, "New Concepts in Technical Trading Systems" (1978).

    Parameters
    ----------
    high, low, close
        (T,) or (T, N) each, prices; high is nowhere below low.
    period : int
        Bars, at least 1.

    Returns
    -------
    array or table of the same shape, unit of the prices
    """
    return _feature("atr", period, (high, low, close), out)


def zscore(values: Any, window: int, *, out: Floats | None = None) -> Any:
    """How far a value lies from the mean of the last `window` values, in standard deviations.

    The window ends at the value itself; the deviation is that of a sample (window - 1). NaN where
    all values of a window are equal, and for the first window - 1 bars. Error at most 4 x
    (window + 2)**2.5 x u, however large the mean is beside the deviation.

    Sums of squares are taken about a value of the window: Chan, Golub, LeVeque, "Algorithms for
    computing the sample variance", The American Statistician 37 (1983).

    Parameters
    ----------
    values
        (T,) or (T, N), any unit.
    window : int
        Bars, at least 2.

    Returns
    -------
    array or table of the same shape, without unit
    """
    return _feature("zscore", window, (values,), out)


def momentum(values: Any, window: int, *, out: Floats | None = None) -> Any:
    """The return over the last `window` bars: (price - past price) / past price.

    NaN for the first `window` bars, and where one of the two prices is NaN. Error at most 3 x u x
    |momentum|.

    Jegadeesh, Titman, "Returns to buying winners and selling losers", Journal of Finance 48 (1993).

    Parameters
    ----------
    values
        (T,) or (T, N), prices above 0.
    window : int
        Bars, at least 1.

    Returns
    -------
    array or table of the same shape, a ratio: 0.1 is 10%
    """
    return _feature("momentum", window, (values,), out)


def volatility(values: Any, window: int, *, out: Floats | None = None) -> Any:
    """The sample standard deviation of the last `window` returns from bar to bar.

    Returns are simple ones, (price - last price) / last price: logarithms are rounded differently
    from machine to machine. Multiply by the root of the bars in a year for a yearly figure. 0
    where all returns of a window are equal. NaN for the first `window` bars. Error at most
    (2 x window**2 + 8 x window) x u x the volatility + 3 x u x the largest return of the window.

    Sums as in `zscore`; Hull, "Options, Futures, and Other Derivatives", for the estimate.

    Parameters
    ----------
    values
        (T,) or (T, N), prices above 0.
    window : int
        Returns, at least 2.

    Returns
    -------
    array or table of the same shape, a ratio per bar
    """
    return _feature("volatility", window, (values,), out)


def _feature(name: str, bars: int, columns: tuple[Any, ...], out: Floats | None) -> Any:
    bars = check_bars(name, bars)
    given = _read(name, columns)
    values = given[0].values
    result = np.empty(values.shape) if out is None else _room(out, given)
    if bars > len(values):
        result.fill(np.nan)  # state for a window that is never full could take all memory
    else:
        state = begin(name, bars, values.shape[1])
        state.advance([one.values for one in given], result)
    return given[0].back(result)


def _room(out: Any, given: list[Given]) -> Floats:
    """The caller's array as the matrix that is filled."""
    values = given[0].values
    shape = values.shape[:1] if given[0].single else values.shape
    if not isinstance(out, np.ndarray) or out.dtype != np.float64 or out.shape != shape:
        raise PriceError(
            f"out is {type(out).__name__} of {getattr(out, 'dtype', 'no dtype')} and shape "
            f"{getattr(out, 'shape', ())}; pass an array of float64 and shape {shape}"
        )
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise PriceError("out is not a C-contiguous, writeable array; pass np.empty(shape)")
    if any(np.may_share_memory(out, one.values) for one in given):
        raise PriceError("out shares memory with the values; pass another array")
    return out.view(np.ndarray).reshape(values.shape)


def _read(name: str, columns: tuple[Any, ...]) -> list[Given]:
    named = zip(KINDS[name].columns, columns, strict=True)
    given = [read_values(values, column) for column, values in named]
    check_values(name, given)
    return given


class FeatureStream:
    """One feature over bars that arrive bit by bit: the fast window.

    Promises: for any cut of the bars, what the calls return is, put together, the feature of all
    bars, to the bit. A call that raises leaves the stream as it was; one that is interrupted in
    the middle (Ctrl-C) ends it, and later calls say so. One thread at a time.

    Cost: constant a bar and asset; what came before is not looked at again. Memory: at most
    2 x window numbers an asset; a handful for the recursive features.

    Parameters
    ----------
    name : {"atr", "ewma", "momentum", "rolling_mean", "rsi", "volatility", "zscore"}
        The feature, by the name of its function in this module.
    bars : int
        Its window, span or period.

    Raises
    ------
    PriceError
        Another name; or a number of bars that is no integer, too small, or 2**31 or more.

    Examples
    --------
    >>> stream = FeatureStream("rolling_mean", 3)
    >>> stream.extend([1.0, 2.0])
    array([nan, nan])
    >>> stream.extend([6.0, 7.0])
    array([3., 5.])
    """

    def __init__(self, name: FeatureName, bars: int) -> None:
        self.bars = check_bars(name, bars)
        if self.bars >= _MOST_BARS:  # there would be no room for them
            raise PriceError(
                f"{KINDS[name].bars} of {name} is {bars}; pass less than {_MOST_BARS} to a stream"
            )
        self.name = name
        self.seen = 0
        self._state: State | None = None
        self._form: tuple[int, bool] | None = None

    def extend(self, *columns: Any) -> Any:
        """The features of the next bars.

        Parameters
        ----------
        *columns
            Values, (n,) or (n, N); high, low and close for "atr". n may be 0.

        Returns
        -------
        array or table of the same shape

        Raises
        ------
        PriceError
            As the feature's function; another number of assets than before; or an earlier call
            was interrupted.
        """
        if len(columns) != len(KINDS[self.name].columns):
            raise PriceError(
                f"{len(columns)} columns were passed; {self.name} takes "
                f"{', '.join(KINDS[self.name].columns)}"
            )
        given = _read(self.name, columns)
        values = given[0].values
        form = values.shape[1], given[0].single
        if self._form not in (None, form):
            raise PriceError(
                f"the bars have shape {_shape(form)}, those before them {_shape(self._form)}; "
                f"expected the same assets in the same order"
            )
        out = np.empty(values.shape)
        state, self._state = self._state, None  # lost, should this be interrupted
        if state is None:
            state = self._begun(values.shape[1])
        state.advance([one.values for one in given], out)
        result = given[0].back(out)
        self._state, self._form = state, form
        self.seen += len(values)
        return result

    def _begun(self, n_assets: int) -> State:
        if self.seen:
            raise PriceError(
                f"the stream was interrupted after {self.seen} bars, and some of the next may have "
                f"been taken; make a new one, and extend it by all bars"
            )
        return begin(self.name, self.bars, n_assets)

    def __repr__(self) -> str:
        return f"FeatureStream({self.name!r}, {self.bars}): {self.seen} bars"


def _shape(form: tuple[int, bool] | None) -> str:
    n_assets, single = form or (0, False)
    return "(n,)" if single else f"(n, {n_assets})"
