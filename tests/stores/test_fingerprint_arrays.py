"""Arrays, tables and compiled functions count by content, whatever else lies in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fingerprint_cases import only

from optimizer.errors import FingerprintError
from optimizer.stores.fingerprint import fingerprint


def test_bytes_between_the_fields_mean_nothing() -> None:
    aligned = np.dtype([("a", "i1"), ("b", "f8")], align=True)

    def table(between: int, b: float) -> Any:
        raw = np.full(3 * aligned.itemsize, between, dtype=np.uint8).view(aligned)
        raw["a"], raw["b"] = 1, b
        return raw

    first = fingerprint(only, table(0, 1.0))
    assert first == fingerprint(only, table(7, 1.0))
    assert first != fingerprint(only, table(0, 2.0))
    assert fingerprint(only, table(0, 1.0)[0]) == fingerprint(only, table(7, 1.0)[0])


@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_bytes_behind_a_long_float_mean_nothing(dtype: Any) -> None:
    size = np.dtype(np.longdouble).itemsize
    if np.finfo(np.longdouble).nmant != 63:
        pytest.skip("here all bytes of a long float mean something")

    def numbers(behind: int, x: float) -> Any:
        found = np.full(3, x, dtype=dtype)
        found.view(np.uint8).reshape(-1, size)[:, 10:] = behind
        return found

    assert fingerprint(only, numbers(0, 0.1)) == fingerprint(only, numbers(7, 0.1))
    assert fingerprint(only, numbers(0, 0.1)) != fingerprint(only, numbers(0, 0.2))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_kinds_of_arrays() -> None:
    values = np.array([1.0, 2.0])
    masked = [np.ma.array(values, mask=mask) for mask in ([True, False], [False, True], False)]
    filled = np.ma.array(values, mask=[True, False], fill_value=3.0)
    record = np.rec.array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")])
    kinds = [values, *masked, filled, np.asmatrix(values), record, record.view(np.ndarray)]
    assert len({fingerprint(only, kind) for kind in kinds}) == len(kinds)
    nested = np.empty(1, dtype=object)
    nested[0] = nested
    assert fingerprint(only, nested) != fingerprint(only, values)


def test_functions_of_numpy() -> None:
    def add(x: float, y: float) -> float:
        return x + y

    def other(x: float, y: float) -> float:
        return x - y

    public: list[Any] = [np.sum, np.mean, np.add, np.subtract, np.linalg.norm]
    public += [np.vectorize(add), np.vectorize(other)]
    assert len({fingerprint(only, function) for function in public}) == len(public)
    used = np.vectorize(add)
    first = fingerprint(used)
    used(values := np.ones(2), values)  # keeps what it made of the function
    assert fingerprint(used) == first
    with pytest.raises(FingerprintError, match=r"the ufunc 'add \(vectorized\)'"):
        fingerprint(np.frompyfunc(add, 2, 1))


def test_the_version_of_the_arrays_library_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.stores import _fingerprint_packages  # looked at from within

    data = np.ones(2)
    first = fingerprint(only, data)
    monkeypatch.setattr(_fingerprint_packages, "version_of", lambda top, place: "another")
    assert fingerprint(only, data) != first


def test_tables() -> None:
    pd = pytest.importorskip("pandas")

    def table(**changes: Any) -> Any:
        columns = {
            "price": [1.0, 2.0],
            "name": ["a", "b"],
            "kind": pd.Categorical(["x", "y"]),
            "day": pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True),
            "count": pd.array([1, None], dtype="Int64"),
            **changes,
        }
        return pd.DataFrame(columns, index=pd.Index([5, 6], name="id"))

    def with_attrs(data: Any, fee: int) -> Any:
        data = data.copy()
        data.attrs["fee"] = fee
        return data

    first = table()
    marks = [
        fingerprint(only, data)
        for data in (
            first,
            first.rename(columns={"price": "cost"}),
            first.rename_axis(index="no"),
            first.set_axis([5, 7]),
            first.iloc[::-1],
            table(price=[1.0, 2.5]),
            table(price=[1, 2]),
            table(name=["a", "c"]),
            table(kind=["x", "y"]),
            table(kind=pd.Categorical(["x", "y"], categories=["y", "x"])),
            table(count=pd.array([1, 0], dtype="Int64")),
            table(day=pd.to_datetime(["2020-01-01", "2020-01-03"], utc=True)),
            first["price"],
            first.index,
            first.set_index(["name", "kind"]),
            with_attrs(first, 1),
            with_attrs(first, 2),
            with_attrs(first["price"], 1),
            first.set_flags(allows_duplicate_labels=False),
            table(day=pd.date_range("2020-01-01", periods=2, freq="D")),
            pd.DatetimeIndex(["2020-01-01", "2020-01-02"]),
            pd.date_range("2020-01-01", periods=2, freq="D"),
            pd.date_range("2020-01-01", periods=2, freq=pd.offsets.Day(1)).to_series(),
            pd.RangeIndex(2),
            pd.Index([0, 1]),
            pd.array([0, 1]),
            pd.Categorical(["x", "y"]),
            pd.Categorical(["x", "y"], ordered=True),
            pd.Interval(0, 1),
            pd.Interval(0, 1, closed="left"),
            pd.Period("2020-01", "M"),
            pd.Period("2020-01-01", "D"),
            pd.Timestamp("2020-01-01"),
            pd.Timestamp("2020-01-01").as_unit("ms"),
            pd.Timestamp("2020-01-01", tz="UTC"),
            pd.offsets.BDay(1),
            pd.offsets.BDay(2),
        )
    ]
    assert len(set(marks)) == len(marks)
    assert fingerprint(only, table()) == marks[0]


def test_all_categories_count() -> None:
    pd = pytest.importorskip("pandas")
    names = [f"c{i:03}" for i in range(300)]

    def column(categories: list[str]) -> Any:
        return pd.Series(pd.Categorical([names[0]], categories=categories))

    swapped = [*names[:149], names[150], names[149], *names[151:]]
    assert fingerprint(only, column(names)) != fingerprint(only, column(swapped))
    with pd.option_context("display.max_seq_items", 3, "display.max_categories", 3):
        shown = fingerprint(only, column(names))
    assert shown == fingerprint(only, column(names))


def test_compiled_functions() -> None:
    numba = pytest.importorskip("numba")

    def kernel(x: float) -> float:
        return x + 1

    def other(x: float) -> float:
        return x + 2

    made = [numba.njit(kernel), numba.njit(kernel, fastmath=True), numba.njit(other)]
    marks = [fingerprint(lambda params, f=f: f(params)) for f in made]
    assert len(set(marks)) == 3
    again = numba.njit(kernel)
    assert fingerprint(lambda params, f=again: f(params)) == marks[0]


def test_compiled_functions_of_other_kinds() -> None:
    numba = pytest.importorskip("numba")

    def kernel(x: float) -> float:
        return x + 1

    def other(x: float) -> float:
        return x + 2

    def each(x: Any, y: Any) -> None:
        for i in range(x.size):
            y[i] = x[i]

    made = [
        numba.njit("f8(f8)")(kernel),
        numba.njit("i8(i8)")(kernel),
        numba.njit(kernel),
        numba.vectorize(kernel),
        numba.vectorize(other),
        numba.vectorize(["f8(f8)"])(kernel),
        numba.vectorize(["i8(i8)"])(kernel),
        numba.cfunc("f8(f8)")(kernel),
        numba.cfunc("i8(i8)")(kernel),
        numba.guvectorize(["f8[:],f8[:]"], "(n)->(n)")(each),
        numba.guvectorize(["i8[:],i8[:]"], "(n)->(n)")(each),
    ]
    marks = [fingerprint(only, function) for function in made]
    assert len(set(marks)) == len(marks)
    made[2](1.0), made[2](1), made[3](1.0)  # types it meets when it is called
    assert [fingerprint(only, function) for function in made] == marks
