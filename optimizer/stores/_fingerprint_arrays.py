"""The content of numpy's arrays and pandas' tables, for a fingerprint; imports neither."""

from __future__ import annotations

import sys
import types
from typing import Any

from optimizer.stores import _fingerprint_modules as modules
from optimizer.stores._fingerprint_place import Walker, Where, refusal

_LONGEST = 8  # bytes of the longest float without bytes that mean nothing
_X87_BYTES, _X87_DIGITS = 10, 63  # of its 16 bytes, the rest means nothing


def feeds(value: Any) -> bool:
    """Whether `feed` knows it: numpy's arrays, scalars and dtypes, pandas' tables and columns."""
    top = str(type(value).__module__).partition(".")[0]
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and top == "numpy":
        known = (numpy.ndarray, numpy.generic, numpy.dtype, numpy.ufunc, numpy.vectorize)
        return isinstance(value, known)
    if pandas is not None and top == "pandas":
        return isinstance(value, (*_tables(pandas), *_scalars(pandas))) or (
            value is pandas.NA or value is pandas.NaT
        )
    return False


def feed(walk: Walker, value: Any, where: Where) -> None:
    """Feed the content: types and names, then bytes; objects one by one.

    And the library's version: its methods are what an objective may compute with.
    """
    kind = type(value)
    walk.leaf(f"{kind.__module__}.{kind.__qualname__}", modules.version_of(kind.__module__) or "")
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and isinstance(value, numpy.ndarray):
        _array(walk, value, where)
    elif numpy is not None and isinstance(value, numpy.generic):
        _array(walk, numpy.asarray(value), where)
    elif numpy is not None and isinstance(value, numpy.dtype):
        _dtype(walk, value, where)
    elif numpy is not None and isinstance(value, numpy.ufunc):
        _ufunc(walk, value, where)
    elif numpy is not None and isinstance(value, numpy.vectorize):
        names = ("pyfunc", "otypes", "signature", "excluded", "cache")
        walk.parts("vectorize", ((getattr(value, name, None), where) for name in names))
    elif pandas is not None and isinstance(value, _tables(pandas)):
        _table(walk, value, where)
    elif pandas is not None and isinstance(value, _scalars(pandas)):
        _scalar(walk, value, where)


# --- numpy


def _array(walk: Walker, array: Any, where: Where) -> None:
    numpy = sys.modules["numpy"]
    if isinstance(array, numpy.ma.MaskedArray):
        walk.visit([array.fill_value, array.hardmask], (where, ", filling", ""))
        _array(walk, numpy.ma.getmaskarray(array), (where, ", mask", ""))
    array = array.view(numpy.ndarray)
    dtype = array.dtype
    _dtype(walk, dtype, where)
    walk.visit(array.shape, where)
    if dtype.names is not None:  # one by one: between the fields may lie bytes that mean nothing
        for name in dtype.names:
            _array(walk, array[name], (where, ", field {}", name))
    elif dtype.hasobject or dtype.kind == "T":  # pointers
        walk.visit(array.ravel().tolist(), where)
    else:
        walk.raw(_bytes(array))


def _dtype(walk: Walker, dtype: Any, where: Where) -> None:
    walk.leaf("dtype", repr(dtype))
    walk.visit(dtype.metadata, (where, ", metadata", ""))


def _bytes(array: Any) -> Any:
    """The bytes of plain numbers in order, without those that mean nothing."""
    numpy = sys.modules["numpy"]
    flat = numpy.ascontiguousarray(array).reshape(-1)
    size = flat.dtype.itemsize // (2 if flat.dtype.kind == "c" else 1)
    plain = flat.view(numpy.uint8)
    if flat.dtype.kind in "fc" and size > _LONGEST and numpy.finfo(flat.dtype).nmant == _X87_DIGITS:
        return numpy.ascontiguousarray(plain.reshape(-1, size)[:, :_X87_BYTES])
    return plain


def _ufunc(walk: Walker, value: Any, where: Where) -> None:
    """One of a library by its name; one made of a function keeps it where nobody can see it."""
    called = value.__name__
    for name, module in sorted(sys.modules.items()):
        if isinstance(module, types.ModuleType) and vars(module).get(called) is value:
            version = modules.version_of(name)
            if version is not None:
                walk.leaf("ufunc", f"{called} {version}")
                return
    raise refusal(where, f"the ufunc {called!r}, whose function cannot be read")


# --- pandas


def _tables(pandas: types.ModuleType) -> tuple[type, ...]:
    array = pandas.api.extensions.ExtensionArray
    return (pandas.DataFrame, pandas.Series, pandas.Index, array)


def _scalars(pandas: types.ModuleType) -> tuple[type, ...]:
    offset = pandas.tseries.offsets.BaseOffset
    return (pandas.Timestamp, pandas.Timedelta, pandas.Interval, pandas.Period, offset)


def _table(walk: Walker, value: Any, where: Where) -> None:
    pandas = sys.modules["pandas"]
    if isinstance(value, (pandas.DataFrame, pandas.Series)):
        walk.visit(value.attrs, (where, ", attrs", ""))
        walk.visit(value.flags.allows_duplicate_labels, where)
        _column(walk, value.index, (where, ", index", ""))
    if isinstance(value, pandas.Series):
        walk.visit(value.name, (where, ", name", ""))
        _column(walk, value, where)
    elif isinstance(value, pandas.DataFrame):
        _column(walk, value.columns, (where, ", columns", ""))
        for place in range(value.shape[1]):
            _column(walk, value.iloc[:, place], (where, ", column {}", place))
    else:
        _column(walk, value, where)


def _column(walk: Walker, column: Any, where: Where) -> None:
    """A column, an index or an array of its own: its kind, and its values."""
    numpy, pandas = sys.modules["numpy"], sys.modules["pandas"]
    if isinstance(column, pandas.Index):
        walk.leaf("index", type(column).__name__)
        walk.visit(list(column.names), (where, ", names", ""))
        walk.visit(getattr(column, "freq", None), (where, ", frequency", ""))
    if isinstance(column, pandas.MultiIndex):
        for level in range(column.nlevels):
            _column(walk, column.get_level_values(level), (where, ", level {}", level))
    elif isinstance(column.dtype, pandas.CategoricalDtype):
        walk.leaf("categories", str(column.dtype.ordered))
        _column(walk, column.dtype.categories, (where, ", categories", ""))
        codes = column.codes if hasattr(column, "codes") else column.cat.codes
        _array(walk, numpy.asarray(codes), where)
    elif isinstance(column.dtype, numpy.dtype):
        _array(walk, column.to_numpy(), where)
    else:  # nullable and zoned values, texts
        walk.leaf("dtype", repr(column.dtype))
        _array(walk, column.to_numpy(dtype=object), where)


def _scalar(walk: Walker, value: Any, where: Where) -> None:
    pandas = sys.modules["pandas"]
    if isinstance(value, pandas.Interval):
        walk.visit([value.left, value.right, value.closed], where)
    elif isinstance(value, pandas.Period):
        walk.visit([value.ordinal, value.freqstr], where)
    elif isinstance(value, pandas.tseries.offsets.BaseOffset):
        walk.visit([value.freqstr, value.n, value.normalize, value.kwds], where)
    else:
        zone = getattr(value, "tzinfo", None)
        walk.leaf("time", f"{value.unit} {getattr(value, 'fold', 0)} {zone!r} {value!r}")
