"""The content of numpy's arrays and pandas' tables, for a fingerprint; imports neither."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Update = Callable[[Any], None]
Visit = Callable[[Any, str], None]


def feeds(value: Any) -> bool:
    """Whether `feed` knows it: numpy's arrays, scalars and dtypes, pandas' tables and columns."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and type(value).__module__.partition(".")[0] == "numpy":
        plain = type(value) in (numpy.ndarray, numpy.memmap)
        return plain or isinstance(value, (numpy.generic, numpy.dtype, numpy.ufunc))
    if pandas is not None and type(value).__module__.partition(".")[0] == "pandas":
        known = (pandas.DataFrame, pandas.Series, pandas.Index)
        return isinstance(value, (*known, pandas.Timestamp, pandas.Timedelta)) or (
            value is pandas.NA or value is pandas.NaT
        )
    return False


def feed(value: Any, where: str, update: Update, visit: Visit) -> None:
    """Feed the content: types and names, then bytes; objects one by one through `visit`."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and isinstance(value, numpy.ndarray):
        _array(value, where, update, visit)
    elif numpy is not None and isinstance(value, numpy.generic):
        _array(numpy.asarray(value), where, update, visit)
    elif numpy is not None and isinstance(value, numpy.dtype):
        visit(repr(value), where)
    elif numpy is not None and isinstance(value, numpy.ufunc):
        visit([value.__name__, numpy.__version__], where)
    elif pandas is not None and isinstance(value, pandas.DataFrame):
        visit(list(value.columns.names), where)
        _column(value.columns, f"{where}, columns", update, visit)
        _column(value.index, f"{where}, index", update, visit)
        for place in range(value.shape[1]):
            _column(value.iloc[:, place], f"{where}, column {place}", update, visit)
    elif pandas is not None and isinstance(value, pandas.Series):
        visit(value.name, f"{where}, name")
        _column(value.index, f"{where}, index", update, visit)
        _column(value, where, update, visit)
    elif pandas is not None and isinstance(value, pandas.Index):
        _column(value, where, update, visit)
    else:  # a single time, or one of pandas' two nothings
        visit(repr(value), where)


def _column(column: Any, where: str, update: Update, visit: Visit) -> None:
    """A column or an index: its dtype, and its values."""
    numpy, pandas = sys.modules["numpy"], sys.modules["pandas"]
    visit(repr(column.dtype), where)
    if isinstance(column, pandas.Index):
        visit(list(column.names), f"{where}, names")
    if isinstance(column, pandas.MultiIndex):
        for level in range(column.nlevels):
            _column(column.get_level_values(level), f"{where}, level {level}", update, visit)
    elif isinstance(column.dtype, numpy.dtype):
        _array(column.to_numpy(), where, update, visit)
    else:  # categories, nullable and zoned values, texts
        _array(column.to_numpy(dtype=object), where, update, visit)


def _array(array: Any, where: str, update: Update, visit: Visit) -> None:
    numpy = sys.modules["numpy"]
    visit(repr(array.dtype), where)
    visit(array.shape, where)
    if array.dtype.hasobject or array.dtype.kind == "T":  # pointers
        visit(array.ravel().tolist(), where)
    else:
        update(numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8))
