"""What goes into features and comes out: arrays or pandas' tables, with their labels kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.backtest._arrays import read_floats
from optimizer.errors import PriceError

Floats = NDArray[np.float64]

_NUMBERS = "fiu"


@dataclass(frozen=True)
class Given:
    """The caller's values as a matrix, and how to give a matrix of that height back.

    Attributes:
        values: (T, N) float64, C-contiguous, read-only.
        single: whether the caller gave one series, (T,).
        labels: the rows' labels, pandas' index; None where an array was given.
        assets: the columns' labels; None where no table was given.
        relabel: from a matrix and row labels to what the caller gets.
    """

    values: Floats
    single: bool
    labels: Any
    assets: Any
    relabel: Callable[[Floats, Any], Any]

    def back(self, out: Floats) -> Any:
        """Features of all rows, in the form in which the values came."""
        return self.relabel(out, self.labels)

    def like(self, other: Given) -> bool:
        """Whether another stands for the same bars and columns."""
        if self.values.shape != other.values.shape or self.single != other.single:
            return False
        pairs = ((self.labels, other.labels), (self.assets, other.assets))
        return all(one is None or two is None or one.equals(two) for one, two in pairs)


def read_values(values: Any, name: str) -> Given:
    """The values of one series or of a matrix.

    Cost: nothing is copied where float64 in rows is given; pandas keeps columns, so a table is
    copied once.

    Args:
        values: (T,) or (T, N): real numbers in an array, a Series or a DataFrame; NaN or masked
            where there is none.
        name: what messages call them.

    Raises:
        PriceError: they are no real numbers, or have another number of dimensions.
    """
    pandas = sys.modules.get("pandas")  # who has none of its tables need not load it
    if pandas is not None and isinstance(values, pandas.Series):
        return _read_series(values, name, pandas)
    if pandas is not None and isinstance(values, pandas.DataFrame):
        return _read_frame(values, name, pandas)
    array = read_floats(values, name)
    if array.ndim not in (1, 2):
        raise PriceError(
            f"{name} has shape {array.shape}; expected one series, or a row per bar and a column "
            f"per asset"
        )
    single = array.ndim == 1
    return Given(_rows(array), single, None, None, _series_of if single else _matrix_of)


def _rows(array: Floats) -> Floats:
    # Every caller's array becomes this one type, or numba would compile each kernel once per kind.
    view = array.view(np.ndarray)
    view = view.reshape(-1, 1) if view.ndim == 1 else view
    view.flags.writeable = False
    return view


def _series_of(out: Floats, labels: Any) -> Floats:
    return out[:, 0]


def _matrix_of(out: Floats, labels: Any) -> Floats:
    return out


def _read_series(series: Any, name: str, pandas: Any) -> Given:
    array = read_floats(_numbers(series, name), name)

    def relabel(out: Floats, labels: Any) -> Any:
        return pandas.Series(out[:, 0], index=labels, name=series.name, copy=False)

    return Given(_rows(array), True, series.index, None, relabel)


def _read_frame(frame: Any, name: str, pandas: Any) -> Given:
    plain = all(isinstance(dtype, np.dtype) for dtype in frame.dtypes)
    if plain and all(dtype.kind in _NUMBERS for dtype in frame.dtypes):
        array = read_floats(frame.to_numpy(), name)
    else:
        array = np.empty(frame.shape)
        for at in range(frame.shape[1]):
            label = f"{name}, column {frame.columns[at]!r},"
            array[:, at] = read_floats(_numbers(frame.iloc[:, at], label), label)

    def relabel(out: Floats, labels: Any) -> Any:
        return pandas.DataFrame(out, index=labels, columns=frame.columns, copy=False)

    return Given(_rows(array), False, frame.index, frame.columns, relabel)


def _numbers(series: Any, name: str) -> ArrayLike:
    """The values of a column; pandas' own missing numbers become NaN."""
    if isinstance(series.dtype, np.dtype):
        plain: ArrayLike = series.to_numpy()
        return plain
    if series.dtype.kind not in _NUMBERS:
        raise PriceError(f"{name} holds {series.dtype}; pass real numbers (float64)")
    floats: ArrayLike = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return floats


def refused(given: Given, name: str, at: int) -> PriceError:
    """The error of the value at a place that is counted along the rows."""
    row, column = divmod(at, given.values.shape[1])
    value = given.values[row, column]
    place = f"{row}" if given.single else f"{row}, {column}"
    label = "" if given.labels is None else f" (label {given.labels[row]!r})"
    expected = "a finite number" if np.isinf(value) else "a price above 0"
    return PriceError(
        f"{name}[{place}]{label} is {value}; expected {expected}, or NaN where there is none"
    )
