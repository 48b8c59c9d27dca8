"""What lies in shared memory comes back equal, read-only, and once."""

from __future__ import annotations

import os
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped,unused-ignore] # ships no types
import pytest
from worker_counts import nothing_is_left as nothing_is_left  # after each test

from optimizer.errors import SharedDataError, WorkerError
from optimizer.workers.shared import ALIGNMENT_BYTES, Placed, place

ARRAYS = {
    "floats": np.arange(24.0).reshape(4, 6),
    "fortran": np.asfortranarray(np.arange(24.0).reshape(4, 6)),
    "turned": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "every other": np.arange(24)[::2],
    "backwards": np.arange(24.0).reshape(4, 6)[::-1, ::-1],
    "broadcast": np.broadcast_to(np.arange(3.0), (5, 3)),
    "one number": np.array(2.5),
    "nothing": np.empty((0, 3)),
    "nothing at all": np.empty(0, dtype="i8"),
    "truth": np.array([True, False]),
    "bytes": np.array([b"ab", b"c"]),
    "texts": np.array(["ab", "c"]),
    "no texts": np.array(["", ""]),
    "complex": np.array([1 + 2j]),
    "times": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "spans": np.array([1, 2], dtype="m8[s]"),
    "records": np.array([(1, 2.0, b"x")], dtype=[("a", "i2"), ("b", "f8"), ("c", "S3")]),
    "big end first": np.arange(5, dtype=">i4"),
    "half": np.arange(5, dtype="f2"),
}


def through(part: Any, *, writable: bool = False) -> Any:
    descriptor, _ = place({("data", "x"): part})
    try:
        return Placed(descriptor).load(("data", "x"), writable=writable)
    finally:
        os.close(descriptor)  # the mapping stays


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back(name: str) -> None:
    ref = ARRAYS[name]
    comp = through(ref)
    assert comp.dtype == ref.dtype
    assert comp.shape == ref.shape
    assert comp.tobytes() == ref.tobytes()
    if ref.dtype.itemsize:
        assert not comp.flags.writeable
        assert not comp.flags.owndata
    if ref.flags.f_contiguous:
        assert comp.flags.f_contiguous


def test_arrays_of_objects_travel_as_copies() -> None:
    ref = np.array([None, "x", 3], dtype=object)
    assert through(ref).tolist() == ref.tolist()


MASKED: dict[str, Any] = {
    "some": np.ma.MaskedArray(np.arange(1000.0), mask=np.arange(1000) % 3 == 0, fill_value=-1.0),
    "none": np.ma.MaskedArray(np.arange(1000.0)),
    "hard": np.ma.MaskedArray([1, 2, 3], mask=[False, True, False], hard_mask=True),
    "turned": np.ma.MaskedArray(np.arange(6).reshape(2, 3), mask=np.eye(2, 3, dtype=bool)).T,
    "records": np.ma.MaskedArray([(1, 2.0)], mask=[(True, False)], dtype="i2,f8"),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_array_comes_back_with_its_mask(name: str) -> None:
    ref = MASKED[name]
    comp = through(ref)
    assert type(comp) is np.ma.MaskedArray
    assert comp.dtype == ref.dtype
    assert comp.data.tobytes() == ref.data.tobytes()
    assert np.ma.getmaskarray(comp).tobytes() == np.ma.getmaskarray(ref).tobytes()
    assert comp.fill_value == ref.fill_value
    assert comp.hardmask == ref.hardmask
    assert (comp.mask is np.ma.nomask) == (ref.mask is np.ma.nomask)
    parts: list[Any] = [comp.data]  # those lie in the shared memory
    if comp.mask is not np.ma.nomask and name != "records":  # whose mask numpy copies
        parts.append(comp.mask)
    for part in parts:
        assert not part.flags.writeable
        assert not part.flags.owndata


def test_a_masked_array_lies_beside_the_pickle() -> None:
    descriptor, _ = place({("data", "x"): MASKED["some"]})
    (_, length), spans = Placed(descriptor)._index["data", "x"]
    os.close(descriptor)
    assert length < 2_000
    assert [size for _, size in spans] == [8_000, 1_000]


def test_a_memory_map_is_an_array_there(tmp_path: Any) -> None:
    ref = np.memmap(tmp_path / "prices", dtype="f8", mode="w+", shape=(100,))
    ref[:] = np.arange(100)
    comp = through(ref)
    assert type(comp) is np.ndarray
    assert not comp.flags.owndata
    assert np.array_equal(comp, ref)


def frame() -> pd.DataFrame:
    index = pd.date_range("2020-01-01", periods=4, name="day", tz="UTC")
    return pd.DataFrame(
        {
            "close": [1.0, 2.0, float("nan"), 4.0],
            "volume": np.arange(4),
            "name": ["a", "b", None, "d"],
            "kind": pd.Categorical(["x", "y", "x", "x"]),
            "whole": pd.array([1, None, 3, 4], dtype="Int64"),
            "when": pd.to_datetime(["2020-01-01", None, "2021-01-01", "2022-01-01"]),
        },
        index=index,
    )


FRAMES: dict[str, Callable[[], Any]] = {
    "mixed": frame,
    "levels": lambda: frame().set_index(["name", "volume"]),
    "columns with levels": lambda: pd.concat({"A": frame(), "B": frame()}, axis=1),
    "empty": pd.DataFrame,
    "no rows": lambda: frame().iloc[:0],
    "series": lambda: frame()["close"],
    "slice": lambda: frame().iloc[1:3],
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_comes_back(name: str) -> None:
    ref = FRAMES[name]()
    comp = through(ref)
    if isinstance(ref, pd.Series):
        pd.testing.assert_series_equal(comp, ref)
    else:
        pd.testing.assert_frame_equal(comp, ref)


def test_a_frames_numbers_are_views_that_cannot_be_written() -> None:
    ref = pd.DataFrame(np.arange(3_000_000.0).reshape(-1, 3), columns=list("abc"))
    comp = through(ref)
    values = comp.to_numpy()
    assert not values.flags.writeable
    assert not values.flags.owndata
    assert np.array_equal(values, ref.to_numpy())


def test_an_arrow_table_comes_back() -> None:
    pa = pytest.importorskip("pyarrow", reason="Arrow tables need pyarrow")
    ref = pa.table({"a": list(range(1000)), "b": [str(n) for n in range(1000)]})
    descriptor, size_bytes = place({("data", "x"): ref})
    placed = Placed(descriptor)
    comp = placed.load(("data", "x"))
    os.close(descriptor)
    assert comp.equals(ref)
    assert size_bytes > ref.nbytes
    _, spans = placed._index["data", "x"]
    assert sum(size for _, size in spans) >= ref.nbytes  # beside the pickle, not in it


def test_arrays_in_anything_lie_beside_the_pickle() -> None:
    part = {"a": [np.zeros(100_000), (np.ones(100_000),)], "b": frame()}
    descriptor, size_bytes = place({("data", "x"): part})
    placed = Placed(descriptor)
    (_, length), spans = placed._index["data", "x"]
    os.close(descriptor)
    assert length < 20_000
    assert size_bytes > 1_600_000
    assert all(start % ALIGNMENT_BYTES == 0 for start, _ in spans)


def test_what_a_function_carries_is_its_own() -> None:
    ref = np.zeros(1000)
    comp = through(ref, writable=True)
    comp[0] = 1.0
    assert comp.sum() == 1.0
    assert ref.sum() == 0.0


def test_writing_changes_nobody_elses() -> None:
    descriptor, _ = place({("function",): np.zeros(1000)})
    first = Placed(descriptor).load(("function",), writable=True)
    first[:] = 1.0
    second = Placed(descriptor).load(("function",), writable=True)
    os.close(descriptor)
    assert second.sum() == 0.0


def test_views_end_with_what_uses_them() -> None:
    descriptor, _ = place({("data", "x"): np.zeros(1000)})
    placed = Placed(descriptor)
    array = placed.load(("data", "x"))
    gone = weakref.ref(array)
    del array
    assert gone() is None
    os.close(descriptor)


class Refusing:
    def __reduce__(self) -> Any:
        raise pickle.PicklingError("not\nme")


def test_the_part_that_cannot_travel_is_named() -> None:
    with pytest.raises(SharedDataError, match=r"^data\['b'\] \(of type Refusing\) cannot be pick"):
        place({("data", "a"): 1, ("data", "b"): Refusing()})
    with pytest.raises(WorkerError, match=r"^warm_up \(of type Refusing\).*PicklingError: not; "):
        place({("warm_up",): Refusing()})


def test_no_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SharedDataError, match=r"no room in memory .* \(No space left on device\)"):
        place({("data", "x"): np.zeros(1000)})
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_memory_of_its_own_an_unlinked_file_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    before = set(os.listdir("/dev/shm"))
    descriptor, _ = place({("data", "x"): np.arange(5)})
    assert "(deleted)" in os.readlink(f"/proc/self/fd/{descriptor}")
    assert Placed(descriptor).load(("data", "x")).tolist() == [0, 1, 2, 3, 4]
    os.close(descriptor)
    assert set(os.listdir("/dev/shm")) <= before
