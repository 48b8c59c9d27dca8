"""Grids: every combination once, in order, by index, in slices and as columns."""

from __future__ import annotations

import copy
import math
import pickle
import sys
import tracemalloc
from collections import deque
from decimal import localcontext
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer import _axis, _grid
from optimizer._parameters import FloatParameter
from optimizer.errors import SpaceError
from optimizer.reference.grid import expand_by_backtracking, expand_by_copying
from optimizer.signature import param_signature
from optimizer.space import Grid, SearchSpace

SPECS: dict[str, dict[str, Any]] = {
    "stop": {"type": "float", "min": 0, "max": 1, "step": 0.25},
    "period": {"type": "int", "min": 2, "max": 6, "step": 2},
    "kind": {"type": "categorical", "choices": ["sma", None, True, 1, 1.0, 2**70]},
    "fixed": {"type": "float", "min": 3, "max": 3},
    "side": {"type": "categorical", "choices": [True, False]},
}
SPACE = SearchSpace(SPECS)
FIVE_BY_TEN = SearchSpace(
    {name: {"type": "float", "min": 0, "max": 0.9, "step": 0.1} for name in "abcde"}
)

floats = st.builds(
    lambda low, step, size: {
        "type": "float",
        "min": low,
        "max": float(f"{low + step * (size - 0.5):.12g}"),
        "step": step,
    },
    st.sampled_from([0.0, -1.0, 0.1, 3.0, -2.5e-5]),
    st.sampled_from([0.1, 1e-5, 2.5e-5, 0.3, 7.0]),
    st.integers(1, 5),
)
ints = st.builds(
    lambda low, step, size: (
        {"type": "int", "min": low, "max": low + step * (size - 1)} | ({"step": step})
    ),
    st.sampled_from([0, -7, 10**30]),
    st.integers(1, 3),
    st.integers(1, 5),
)
choices = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0]), st.text(max_size=2)
)
categories = st.lists(choices, min_size=1, max_size=4, unique_by=lambda c: (type(c), c)).map(
    lambda found: {"type": "categorical", "choices": found}
)
spaces = st.dictionaries(
    st.text(max_size=3), st.one_of(floats, ints, categories), min_size=1, max_size=4
)


def space_of(specs: dict[str, Any]) -> SearchSpace:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an end was moved down to the grid
        return SearchSpace(specs)


def expanded(space: SearchSpace) -> list[dict[str, Any]]:
    """The plain twin's combinations."""
    return expand_by_copying(
        {
            name: [parameter.value_at(k) for k in range(int(parameter.size))]
            for name, parameter in space.items()
        }
    )


def typed(combinations: Any) -> list[Any]:
    """With types and the order of the names: 1, 1.0 and True are not the same here."""
    return [[(name, type(value), value) for name, value in one.items()] for one in combinations]


# --- the same as the plain twin


@given(spaces, st.integers(1, 60))
def test_a_grid_is_what_the_twin_expands(specs: dict[str, Any], tail: int) -> None:
    space = space_of(specs)
    ref = typed(expanded(space))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_grid, "_TAIL", tail)  # blocks of every width
        patch.setattr(_axis, "TABLE", tail)  # some values are kept, others computed
        comp = space.grid()
        assert typed(comp) == ref
        assert typed(comp[i] for i in range(len(comp))) == ref
        assert typed(reversed(comp)) == ref[::-1]
        assert len(comp) == comp.size == space.size() == len(ref)


def test_both_ways_of_the_reports_give_the_same() -> None:
    values: dict[str, list[Any]] = {"a": [1, 2], "b": ["x"], "c": [None, 0.5, True]}
    assert expand_by_backtracking(values) == expand_by_copying(values)
    assert expand_by_copying({}) == expand_by_backtracking({}) == [{}]
    assert expand_by_copying({"a": []}) == expand_by_backtracking({"a": []}) == []


bounds = st.one_of(st.none(), st.integers(-200, 200))
cuts = st.builds(slice, bounds, bounds, st.sampled_from([None, 1, 2, -1, 7, -50]))


@given(cuts, cuts)
def test_a_slice_is_what_a_slice_of_the_list_is(one: slice, other: slice) -> None:
    ref, comp = expanded(SPACE)[one], SPACE.grid()[one]
    assert typed(comp) == typed(ref)
    assert typed(comp[other]) == typed(ref[other])
    assert len(comp) == len(ref)
    assert bool(comp) == bool(ref)
    for k in (0, len(ref) - 1, -len(ref), -1):
        if ref:
            assert typed([comp[k]]) == typed([ref[k]])
    for k in (len(ref), -len(ref) - 1):
        with pytest.raises(IndexError, match="found index"):
            comp[k]
    assert_columns(comp, ref)


def assert_columns(comp: Grid, ref: list[dict[str, Any]]) -> None:
    columns = comp.columns()
    assert list(columns) == list(SPACE)
    for name, column in columns.items():
        assert column.shape == (len(ref),)
        assert typed([{"v": v} for v in column.tolist()]) == typed([{"v": r[name]} for r in ref])
    assert {name: column.dtype.str for name, column in columns.items()} == {
        "stop": "<f8", "period": "<i8", "kind": "|O", "fixed": "<f8", "side": "|b1"
    }  # fmt: skip


@given(spaces, st.integers(0, 700), st.integers(0, 700), st.integers(0, 60))
def test_columns_hold_the_same_values(specs: dict[str, Any], a: int, b: int, table: int) -> None:
    space = space_of(specs)
    ref = expanded(space)[a:b]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_axis, "TABLE", table)
        columns = space.grid()[a:b].columns()
    assert list(columns) == list(space)
    for name, column in columns.items():
        assert typed([{"v": v} for v in column.tolist()]) == typed([{"v": r[name]} for r in ref])


@pytest.mark.parametrize(
    ("choices", "dtype"),
    [
        ([True, False], np.bool_), ([1, 2], np.int64), ([0.5, 2.0], np.float64),
        ([1, 2.0], np.object_), ([True, 0], np.object_), (["a", "b\x00"], np.object_),
        ([None], np.object_), ([2**63, 1], np.object_), ([-(2**63), 2**63 - 1], np.int64),
    ],
)  # fmt: skip
def test_columns_of_choices_keep_types(choices: list[Any], dtype: Any) -> None:
    (column,) = (
        space_of({"p": {"type": "categorical", "choices": choices}}).grid().columns().values()
    )
    assert column.dtype == dtype
    assert typed([{"v": v} for v in column.tolist()]) == typed([{"v": c} for c in choices])


def test_columns_are_new_arrays() -> None:
    grid = SPACE.grid()
    for column in grid.columns().values():
        column[:] = column[0]
    assert_columns(grid, expanded(SPACE))


# --- parts for workers


@given(st.integers(0, 200), st.integers(1, 230))
def test_parts_follow_each_other_and_are_the_whole(stop: int, of: int) -> None:
    grid = SPACE.grid()[:stop]
    parts = [grid.part(k, of=of) for k in range(of)]
    assert typed(one for part in parts for one in part) == typed(grid)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_part_is_the_same_in_another_process() -> None:
    part = SPACE.grid().part(2, of=7)
    again = pickle.loads(pickle.dumps(part))
    assert again == part
    assert hash(again) == hash(part)
    assert typed(again) == typed(part)
    assert len(pickle.dumps(FIVE_BY_TEN.grid().part(1, of=3))) < 2_000


@pytest.mark.parametrize(("k", "of"), [(-1, 3), (3, 3), (0, 0), (0, -1)])
def test_there_is_no_such_part(k: int, of: int) -> None:
    with pytest.raises(SpaceError, match=f"found part {k} of {of}, expected"):
        SPACE.grid().part(k, of=of)


# --- there and back


@given(spaces, st.data())
def test_find_is_the_inverse(specs: dict[str, Any], data: st.DataObject) -> None:
    space = space_of(specs)
    grid = space.grid()
    index = data.draw(st.integers(0, len(grid) - 1))
    params = dict(data.draw(st.permutations(list(grid[index].items()))))
    assert grid.find(params) == index
    assert grid.index(params) == index
    assert params in grid
    assert grid.count(params) == 1


@given(spaces, st.data())
def test_the_same_index_means_the_same_signature(
    specs: dict[str, Any], data: st.DataObject
) -> None:
    space = space_of(specs)
    grid = space.grid()
    odd = st.one_of(choices, st.sampled_from([0.1 + 0.2, 3, 2.0, -2.5e-5, np.int64(1), [1]]))
    params: dict[str, Any] = dict(grid[data.draw(st.integers(0, len(grid) - 1))])
    for name in data.draw(st.sets(st.sampled_from(list(params)))):
        params[name] = data.draw(odd)
    index = grid.find(params)
    signatures = [param_signature(one, space) for one in grid]
    assert len(set(signatures)) == len(grid)
    if index is None:
        assert param_signature(params, space) not in signatures
    else:
        assert signatures[index] == param_signature(params, space)


def test_find_of_a_slice_counts_from_its_beginning() -> None:
    grid = SPACE.grid()[100:10:-3]
    for k, params in enumerate(grid):
        assert grid.find(params) == k
    assert grid.find(SPACE.grid()[99]) is None
    assert SPACE.grid()[99] not in grid
    assert grid.count(SPACE.grid()[99]) == 0


@pytest.mark.parametrize(
    "params",
    [None, 3, [], {}, {"stop": 0.25}, "stop", [("stop", 0.25)]],
)
def test_what_is_no_combination_is_not_found(params: Any) -> None:
    assert SPACE.grid().find(params) is None
    with pytest.raises(ValueError, match=r"found .*, expected a combination of this grid"):
        SPACE.grid().index(params)


def test_another_name_or_a_missing_one_is_no_combination() -> None:
    params = SPACE.grid()[5]
    assert SPACE.grid().find({**params, "more": 1}) is None
    del params["side"]
    assert SPACE.grid().find(params) is None
    assert SPACE.grid().find({**params, "other": True}) is None


def test_index_looks_between_start_and_stop() -> None:
    grid = SPACE.grid()
    assert grid.index(grid[7], 7, 8) == 7
    assert grid.index(grid[7], -len(grid)) == 7
    for start, stop in ((8, None), (0, 7)):
        with pytest.raises(ValueError, match="expected a combination"):
            grid.index(grid[7], start, stop)


# --- values


@given(
    st.sampled_from([0.0, 0.1, -0.3, 1e-9, 123456.789, 1e15, -5e-324, 1e300]),
    st.sampled_from([0.1, 1e-5, 2.5e-5, 1e-7, 1 / 3, 1e-12, 3.0, 1e20, 1e299]),
    st.integers(1, 300),
)
def test_listed_values_are_those_of_the_parameter(low: float, step: float, size: int) -> None:
    high = low + step * (size - 0.5)
    try:
        parameter = FloatParameter(low, high, step)
    except SpaceError:  # floats cannot tell its steps apart
        return
    comp = _axis._float_values(parameter, int(parameter.size))
    ref = [parameter.value_at(k) for k in range(int(parameter.size))]
    assert comp == ref
    assert [math.copysign(1, v) for v in comp] == [math.copysign(1, v) for v in ref]


def test_a_callers_decimal_context_changes_nothing() -> None:
    ref = list(FIVE_BY_TEN.grid()[:50])
    with localcontext() as context:
        context.prec = 1
        fresh = SearchSpace(FIVE_BY_TEN.to_specs())
        assert list(fresh.grid()[:50]) == ref


def test_each_combination_is_the_callers_own() -> None:
    grid = SPACE.grid()
    ref = typed(grid)
    for params in grid:
        params.clear()
    grid[0].clear()
    assert typed(grid) == ref


# --- no expansion, however large

HUGE = SearchSpace({str(k): {"type": "int", "min": 0, "max": 10**80} for k in range(6)})


def test_a_grid_beyond_memory_answers_at_once() -> None:
    grid = HUGE.grid()
    side = 10**80 + 1
    assert grid.size == side**6
    assert grid
    assert grid[side**6 - 1] == dict.fromkeys(HUGE, 10**80)
    assert grid[side] == {**dict.fromkeys(HUGE, 0), "4": 1}
    assert grid.find(grid[12345678901234567890]) == 12345678901234567890
    assert [one["5"] for one in islice(grid[10**50 :], 3)] == [10**50, 10**50 + 1, 10**50 + 2]
    far = grid.part(6, of=7)
    assert far.size == side**6 - 6 * side**6 // 7
    assert far[0] == next(iter(far)) == grid[6 * side**6 // 7]
    columns = grid[side * 7 - 2 : side * 7 + 2].columns()
    assert columns["5"].tolist() == [10**80 - 1, 10**80, 0, 1]
    assert columns["4"].tolist() == [6, 6, 7, 7]
    assert grid[:: -(side**6)].columns()["0"].tolist() == [10**80]
    assert "Grid of" in repr(grid)


def test_columns_beyond_memory_fail_at_once() -> None:
    grid = HUGE.grid()
    with pytest.raises(OverflowError, match="too many for len"):
        grid.columns()
    for part in (grid[: 10**17], grid[: 10**18 : 10], grid[: sys.maxsize]):
        with pytest.raises(MemoryError):
            part.columns()


def test_len_says_when_it_cannot_tell() -> None:
    with pytest.raises(OverflowError, match=r"too many for len\(\); use \.size"):
        len(HUGE.grid())
    edge = SearchSpace({"p": {"type": "int", "min": 1, "max": sys.maxsize}})
    assert len(edge.grid()) == sys.maxsize


def test_walking_keeps_no_combination() -> None:
    grid = FIVE_BY_TEN.grid()
    deque(grid[:2_000], maxlen=0)  # the values, kept once
    tracemalloc.start()
    try:
        deque(grid, maxlen=0)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000  # the list of all takes more than a hundred times that


def test_a_float_without_a_step_has_no_grid() -> None:
    with pytest.raises(SpaceError, match="parameter 'p': found a float without a step"):
        SearchSpace({"q": SPECS["stop"], "p": {"type": "float", "min": 0, "max": 1}}).grid()


# --- equality


def test_grids_are_equal_where_their_combinations_are() -> None:
    grid = SPACE.grid()
    assert grid == copy.deepcopy(SPACE).grid()
    assert grid[:5] == grid[0:5:1]
    assert grid[3:4] == grid[3:5:2]
    assert hash(grid[3:4]) == hash(grid[3:5:2])
    assert grid[5:5] == grid[7:7]
    assert grid[:5] != grid[:6]
    assert grid[:5] != grid[4::-1]
    reordered = SearchSpace(dict(reversed(SPECS.items())))
    assert reordered == SPACE
    assert grid != reordered.grid()  # another order of combinations
    assert grid != list(grid)
