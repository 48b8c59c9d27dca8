"""Data in this process: read-only views of what was given, as in workers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import optimizer
from optimizer.efficiency import EfficiencyConfig
from optimizer.study.views import read_only

FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(a=1),
        lambda data: data.pop("a"),
        lambda data: data.setdefault("b", 1),
        lambda data: data.clear(),
        lambda data: data.__setitem__("b", 1),
        lambda data: data.__delitem__("a"),
        lambda data: data.__ior__({"b": 1}),
    ],
)
def test_the_names_stay_as_they_are_and_a_copy_is_a_plain_dictionary(change: Any) -> None:
    data = read_only({"a": np.arange(3.0)})
    with pytest.raises(TypeError, match="read-only: copy them first"):
        change(data)
    for made in (copy.deepcopy(data), copy.copy(data), pickle.loads(pickle.dumps(data))):
        assert type(made) is dict
        assert list(made) == list(data) == ["a"]
    assert copy.deepcopy(data)["a"].flags.writeable


def arrays() -> dict[str, Any]:
    return {
        "plain": np.arange(6.0),
        "turned": np.arange(6).reshape(2, 3).T,
        "stepped": np.arange(12.0)[::2],
        "fields": np.zeros(3, dtype=[("a", "f8"), ("b", "i4")]),
        "objects": np.array(["a", None], dtype=object),
        "texts": np.array(["a", "b"]),
        "empty": np.empty((0, 3)),
        "none": np.array(5.0),
    }


def test_arrays_are_views_that_refuse_to_be_written_to() -> None:
    given = arrays()
    seen = read_only(given)
    assert list(seen) == list(given)
    for name, array in given.items():
        view = seen[name]
        assert type(view) is type(array), name
        assert view.dtype == array.dtype, name
        assert view.strides == array.strides, name
        assert view.ctypes.data == array.ctypes.data, name
        assert array.flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    given["plain"][0] = 7.0  # it is the owner's
    assert seen["plain"][0] == 7.0


@pytest.mark.parametrize("mask", [[False, True, False], np.ma.nomask])
def test_masked_arrays_with_their_masks(mask: Any) -> None:
    given: Any = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=mask, fill_value=-1.0, hard_mask=True)
    view = read_only({"m": given})["m"]
    assert np.shares_memory(view.data, given.data)
    assert view.fill_value == -1.0
    assert view.hardmask
    assert np.ma.getmaskarray(view).tolist() == np.ma.getmaskarray(given).tolist()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5.0
    if mask is not np.ma.nomask:
        assert np.shares_memory(view.mask, given.mask)
        with pytest.raises(ValueError, match="read-only"):
            view[0] = np.ma.masked
    assert given.tolist()[0] == 1.0


def test_tables_stay_as_they_are() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "float": [1.0, 2.0, 3.0],
            "int": [1, 2, 3],
            "text": list("xyz"),
            "day": pd.date_range("2020-01-01", periods=3),
            "kind": pd.Categorical(list("aab")),
        },
        index=pd.Index([5, 6, 7], name="n"),
    )
    ref = frame.copy()
    given = {"frame": frame, "series": frame["float"], "index": frame.index}
    seen = read_only(given)
    pd.testing.assert_frame_equal(seen["frame"], ref)
    pd.testing.assert_series_equal(seen["series"], ref["float"])
    pd.testing.assert_index_equal(seen["index"], ref.index)
    assert np.shares_memory(seen["series"].to_numpy(), frame["float"].to_numpy())
    for name in ("float", "int"):
        with pytest.raises(ValueError, match="read-only"):
            seen["frame"].loc[5, name] = 9
    seen["frame"].loc[5, "text"] = "changed"  # a copy
    pd.testing.assert_frame_equal(frame, ref)


def test_other_things_are_those_that_were_given() -> None:
    given = {"list": [np.arange(3)], "function": len, "text": "a", "lock": pytest.raises}
    assert all(read_only(given)[name] is item for name, item in given.items())
    assert dict(read_only(None)) == {}


def writing(params: dict[str, Any], context: Any) -> float:
    context.data["close"][0] = params["x"]
    return 0.0


@pytest.mark.parametrize(
    "asked",
    [
        {"workers": 1},
        {"workers": 2},
        {"workers": 2, "mode": EfficiencyConfig(use_process_pool=False)},
        {"workers": 1, "mode": "fast"},
    ],
    ids=["here", "workers", "threads", "part"],
)
def test_an_objective_that_writes_is_told_so_wherever_it_runs(asked: dict[str, Any]) -> None:
    close = np.arange(10.0)
    with pytest.raises(ValueError, match="read-only"):
        optimizer.optimize(writing, FLOAT, n_trials=2, data={"close": close}, **asked)
    assert close.tolist() == list(range(10))
    assert close.flags.writeable


def test_what_was_given_is_not_changed_by_a_study_that_reads() -> None:
    given = arrays()

    def objective(params: dict[str, Any], context: Any) -> float:
        assert context.data.keys() == given.keys()
        return float(context.data["plain"].sum() * params["x"])

    optimizer.optimize(objective, FLOAT, n_trials=3, data=given)
    assert all(array.flags.writeable for array in given.values())
