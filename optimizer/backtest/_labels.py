"""What bars and assets are called, and how callers' frames become bare arrays.

pandas is never imported here: whoever passes a frame has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.backtest._arrays import read_floats
from optimizer.backtest.prices import PricePanel
from optimizer.errors import PriceError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Labels:
    """The names of the bars and assets of a backtest.

    Attributes:
        bars: T labels, strictly increasing: a datetime64 array, the pandas Index of the frame of
            prices, or the numbers 0 to T - 1.
        assets: N names, in the order of the columns.
        days: (T,) float64, calendar days since the first bar; None where the bars are no dates.
            Dates with a time zone count by the local clock.
    """

    bars: Any
    assets: tuple[Any, ...]
    days: Floats | None = None

    def __post_init__(self) -> None:
        if self.days is not None:
            self.days.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.bars, self.assets, self.days)  # pickle drops read-only flags


def is_frame(values: object) -> bool:
    """Whether it is a pandas DataFrame or Series; what has its own way with rows is one."""
    return hasattr(values, "iloc")


def read_close(close: Any) -> tuple[ArrayLike, Labels | None]:
    """The prices as an array, and what their bars and assets are called, if they say so."""
    if isinstance(close, PricePanel):
        return close.close, Labels(close.dates, close.assets, _days(close.dates))
    if is_frame(close):
        return _values(close, "close"), Labels(
            _checked_bars(close.index, "close.index"),
            _checked_assets(_columns(close), "close.columns"),
            _days(close.index),
        )
    return close, None


def given_labels(shape: tuple[int, ...], dates: Any, assets: Any) -> Labels:
    """Labels for prices that came as a bare array.

    Args:
        shape: of the prices.
        dates: T dates, or None.
        assets: N names, or None.
    """
    bars: Any = np.arange(shape[0])
    if dates is not None:
        bars = dates if hasattr(dates, "get_indexer") else _dates(dates, "dates")
        _checked_bars(bars, "dates")
    names = tuple(range(shape[1])) if assets is None else tuple(assets)
    _checked_assets(names, "assets")
    if (len(bars), len(names)) != shape:
        raise PriceError(
            f"there are {len(bars)} dates and {len(names)} assets beside a close of shape {shape}; "
            f"pass one date per row and one name per column"
        )
    return Labels(bars, names, None if dates is None else _days(bars))


def read_like(values: Any, name: str, labels: Labels | None) -> ArrayLike:
    """Highs or lows as an array in the order of the closes; a frame must bear their labels."""
    if not is_frame(values) or labels is None:
        return _values(values, name) if is_frame(values) else values
    if len(values) != len(labels.bars) or not (values.index == labels.bars).all():
        raise PriceError(
            f"{name}.index differs from the bars of close; pass a row for each of them"
        )
    return _values(_ordered(values, name, labels), name)


def read_orders(
    bars: Any, weights: Any, labels: Labels | None, n_bars: int
) -> tuple[ArrayLike, ArrayLike]:
    """Rebalance bars as row numbers and weights as an array in the order of the assets.

    Args:
        bars: row numbers, labels of bars, or None: those of the frame `weights`, else all bars.
        weights: an array, or a frame.
        labels: those of the prices, if they have any.
        n_bars: how many bars there are.
    """
    if weights is None:
        raise PriceError("weights is missing; pass a row of target weights for each rebalance bar")
    if is_frame(weights):
        if labels is not None:
            weights = _ordered(weights, "weights", labels)
        if bars is None:
            bars = _rows(weights.index, "weights.index", labels)
        weights = _values(weights, "weights")
    elif bars is None:
        bars = np.arange(n_bars)
        if np.shape(weights)[:1] != (n_bars,):
            raise PriceError(
                f"weights has shape {np.shape(weights)} beside {n_bars} bars, and rebalance_bars "
                f"is missing; pass a row for each bar, or rebalance_bars"
            )
    if labels is not None and _are_labels(bars):
        bars = _rows(bars, "rebalance_bars", labels)
    return bars, weights


# --- frames


def _columns(frame: Any) -> tuple[Any, ...]:
    return tuple(frame.columns) if frame.ndim == 2 else (frame.name,)


def _values(frame: Any, name: str) -> Floats:
    """The numbers of a frame; a Series is one column. What pandas calls missing becomes NaN."""
    values = frame.to_numpy()
    if values.dtype.kind not in "fiu":  # before each column is asked: there may be many
        dtypes = list(frame.dtypes) if frame.ndim == 2 else [frame.dtype]
        if all(getattr(dtype, "kind", "O") in "fiu" for dtype in dtypes):
            values = frame.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = read_floats(values, name)
    return np.asarray(values, dtype=np.float64).reshape(len(frame), -1)


def _ordered(frame: Any, name: str, labels: Labels) -> Any:
    """The frame with its columns in the order of the assets."""
    if frame.ndim == 1 and len(labels.assets) == 1:
        return frame  # a Series needs no name where there is but one asset
    columns = _checked_assets(_columns(frame), f"{name}.columns")
    if columns == labels.assets:
        return frame
    for column in columns:
        if column not in labels.assets:
            raise PriceError(
                f"{name} has a column {column!r}, which is no asset of close; there are: "
                f"{_some(labels.assets)}"
            )
    for asset in labels.assets:
        if asset not in columns:
            hint = "; a column of NaN leaves its position alone" if name == "weights" else ""
            raise PriceError(f"{name} lacks a column for the asset {asset!r}; pass one{hint}")
    return frame[list(labels.assets)]


def _some(names: tuple[Any, ...]) -> str:
    return ", ".join(map(str, names[:5])) + (", ..." if len(names) > 5 else "")


# --- bars


def _are_labels(bars: Any) -> bool:
    """Whether they are dates or names, not row numbers."""
    array = np.asarray(bars)
    return bool(array.size) and array.dtype.kind not in "iubf"


def _rows(wanted: Any, name: str, labels: Labels | None) -> NDArray[np.int64]:
    """The row numbers of bars that are given by their labels, strictly increasing."""
    if labels is None:
        raise PriceError(
            f"{name} names bars, but close has no labels; pass close as a frame as well, or "
            f"rebalance_bars as row numbers of close"
        )
    if is_frame(wanted):
        wanted = wanted.array  # by place: a Series counts by an index of its own
    rows = _found(wanted, name, labels.bars)
    for at in np.flatnonzero(rows < 0)[:1]:
        raise PriceError(
            f"{name}[{at}] is {wanted[at]}, which is no bar of close; they run from "
            f"{labels.bars[0]} to {labels.bars[-1]}: drop it, or move it to a bar"
        )
    for at in np.flatnonzero(rows[1:] <= rows[:-1])[:1] + 1:
        raise PriceError(
            f"{name}[{at}] is {wanted[at]} after {wanted[at - 1]}; expected strictly increasing "
            f"bars: sort them and merge the duplicates"
        )
    return rows


def _found(wanted: Any, name: str, bars: Any) -> NDArray[np.int64]:
    """The row of each wanted label, -1 where there is none."""
    if _are_plain_dates(wanted) and _are_plain_dates(bars):  # pandas' own search takes far longer
        wanted, bars = wanted.to_numpy(), bars.to_numpy()
    elif hasattr(bars, "get_indexer"):
        if _is_text(wanted) and getattr(bars.dtype, "kind", "O") == "M":
            # pandas takes no text for dates here; by the local clock where there is a time zone
            wanted = type(bars)(_dates(wanted, name), tz=bars.tz)
        return np.asarray(bars.get_indexer(wanted), np.int64)
    else:
        wanted = _dates(wanted, name) if bars.dtype.kind == "M" else np.asarray(wanted)
    rows = np.minimum(np.searchsorted(bars, wanted), len(bars) - 1)
    return np.where(bars[rows] == wanted, rows, -1).astype(np.int64, copy=False)


def _are_plain_dates(index: Any) -> bool:
    """Whether it is a DatetimeIndex without a time zone."""
    return hasattr(index, "get_indexer") and getattr(index, "tz", index) is None


def _is_text(wanted: Any) -> bool:
    array = np.asarray(wanted)
    return bool(array.size) and (
        array.dtype.kind == "U"
        or (array.dtype.kind == "O" and all(isinstance(label, str) for label in array.flat))
    )


def _dates(values: Any, name: str) -> NDArray[np.datetime64]:
    if getattr(values, "tz", None) is not None:
        raise PriceError(
            f"{name} has the time zone {values.tz}, but the bars of close have none; pass dates "
            f"of the same kind"
        )
    try:
        array = np.asarray(values)
        return array if array.dtype.kind == "M" else array.astype("datetime64")
    except (TypeError, ValueError) as error:
        raise PriceError(f"{name} cannot be read as dates ({error}); pass datetime64") from error


def _checked_bars(bars: Any, name: str) -> Any:
    """The labels of the bars, which strictly increase."""
    late = np.flatnonzero(~np.asarray(bars[1:] > bars[:-1], bool))
    if late.size:
        at = int(late[0]) + 1
        raise PriceError(
            f"{name}[{at}] is {bars[at]} after {bars[at - 1]}; bars must strictly increase: sort "
            f"the rows and drop duplicates"
        )
    return bars


def _checked_assets(names: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """The names of the assets, each there once."""
    if len(set(names)) < len(names):
        twice = next(asset for at, asset in enumerate(names) if asset in names[:at])
        raise PriceError(f"{name} holds {twice!r} twice; give each asset a name of its own")
    return names


def _days(bars: Any) -> Floats | None:
    """Calendar days since the first bar; None where the bars are no dates."""
    if hasattr(bars, "to_timestamp"):  # periods: each by its start
        bars = bars.to_timestamp()
    if getattr(bars, "tz", None) is not None:
        bars = bars.tz_localize(None)
    dates = np.asarray(bars)
    if dates.dtype.kind != "M" or not len(dates):
        return None
    days: Floats = (dates - dates[0]) / np.timedelta64(1, "D")
    return days
