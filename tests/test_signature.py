"""Signatures: which parameter sets agree, which differ, which are refused, and stable bytes."""

from __future__ import annotations

import enum
import math
import os
import subprocess
import sys
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optimizer._canonical import sign as general
from optimizer.reference import signature as reference
from optimizer.signature import SignatureCache, param_signature
from optimizer.space import SearchSpace

ROOT = Path(__file__).resolve().parent.parent

SPECS: dict[str, dict[str, Any]] = {
    "free": {"type": "float", "min": -10, "max": 10},
    "grid": {"type": "float", "min": 0, "max": 1, "step": 0.1},
    "fine": {"type": "float", "min": 0, "max": 1e-9, "step": 1e-12},
    "int": {"type": "int", "min": 0, "max": 20, "step": 2},
    "kind": {"type": "categorical", "choices": [True, 1, 1.0, "1", None, 2, 0.0, 2**60 + 1, ""]},
    "side": {"type": "categorical", "choices": ["long", "short"]},
}
SPACE = SearchSpace(SPECS)


class Level(enum.IntEnum):
    """An int by another name."""

    ONE = 1


class Side(enum.StrEnum):
    """A str by another name."""

    LONG = "long"


class Color(str, enum.Enum):  # noqa: UP042 - its str() is not its value, unlike StrEnum's
    """A str whose `str()` is something else."""

    RED = "red"


def both(params: Any, space: SearchSpace | None = None) -> bytes:
    """The signature, after the fast, the general and the plain way were seen to agree."""
    comp = param_signature(params, space)
    assert comp == param_signature(params, space)  # the second time from a prepared shape
    assert comp == general(params, space)
    assert comp == reference.param_signature(params, space)
    assert len(comp) == 16
    return comp


# --- what agrees, what differs

AGREE = [
    (1, 1.0),
    (0, -0.0),
    (0.0, -0.0),
    (2**53 + 2, float(2**53 + 2)),
    (2**70, float(2**70)),
    (-(2**70), -float(2**70)),
    (10**22, 1e22),
    (1, Level.ONE),
    ("long", Side.LONG),
    ("red", Color.RED),
    ([1, "a"], (1.0, "a")),
    ([], ()),
    ({"b": 1, "a": 2}, OrderedDict(a=2.0, b=1)),
    ({"a": 1}, MappingProxyType({"a": 1})),
    (0.1, np.float64(0.1)),
    (float(np.float32(0.1)), np.float32(0.1)),
    (0.5, np.float16(0.5)),
    (3, np.int64(3)),
    (3.0, np.uint8(3)),
    (2**63 + 1, np.uint64(2**63 + 1)),
    (True, np.bool_(True)),
    ("a", np.str_("a")),
    ([1, True], [np.int8(1), np.bool_(True)]),
]


@pytest.mark.parametrize(("one", "other"), AGREE)
def test_these_agree(one: Any, other: Any) -> None:
    assert both({"p": one}) == both({"p": other})
    assert both({"p": one, "q": "x"}) == both({"q": "x", "p": other})
    assert both({"p": [one]}) == both({"p": (other,)})


DISTINCT: list[Any] = [
    None, True, False, "True", "true", 1, 0, "1", "0", "1.0", "", "None", "n", 2, -1, 0.1, 1e-12,
    2e-12, 0.1 + 0.2, 0.3, 5e-324, 1e308, -1e308, 2**53, 2**53 + 1, 2**64, 2**64 + 1, -(2**64 + 1),
    10**400, -(10**400), float(np.float32(0.1)), [], [[]], {}, [{}], [None], [0], [1], ["1"],
    [True], [1, 2], [2, 1], [[1], 2], [1, [2]], [[1, 2]], ["a", "b"], ["ab"], ["a", "", "b"],
    ["", "ab"], {"a": 1}, {"b": 1}, {"a": True}, {"a": "1"}, {"a": {"a": 1}}, {"a": 1, "b": 2},
    {"a": 2, "b": 1}, {"a": [1]}, [{"a": 1}], [["a", 1]], {"": 1}, "a", "b", "ab", "\xff", "\x00",
    "\x00\x00", "\uffff", "\U0010ffff", "é", "e\u0301", "a\x00b", "{", "}", "[", "]", ",a",
    format(2**64 + 1, "x"),
]  # fmt: skip


def test_these_all_differ() -> None:
    signatures = {both({"p": value}): value for value in DISTINCT}
    assert len(signatures) == len(DISTINCT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"A": 1}),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"a": "x", "b": ""}, {"a": "", "b": "x"}),
        ({"a": None}, {"a": None, "b": None}),
        ({"ab": "c"}, {"a": "bc"}),
        ({"a": 1, "b": "d"}, {"a": "d", "b": 1}),
        ({"a\xffd,b": 1}, {"a": 1, "b": 1}),
        ({"a": 1}, {"a": [1]}),
        ({"": 1}, {" ": 1}),
    ],
)
def test_these_sets_differ(one: Any, other: Any) -> None:
    assert both(one) != both(other)


# --- hypothesis: three ways agree, and equal signatures mean equal canonical trees

numbers = st.one_of(
    st.integers(),
    st.integers(-(2**54), 2**54),
    st.integers(-(2**1100), 2**1100),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**60), 2**60).map(float),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
numpy_scalars = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(np.float64),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.booleans().map(np.bool_),
    texts.map(np.str_),
)
values = st.recursive(
    st.one_of(scalars, numpy_scalars),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
    ),
    max_leaves=8,
)
flat = st.dictionaries(texts, scalars, min_size=1, max_size=8)
nested = st.dictionaries(texts, values, min_size=1, max_size=5)


def canonical(value: Any) -> Any:
    """A tree that compares equal exactly where two values ought to agree."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, str)) or value is None:
        return type(value).__name__, value
    if isinstance(value, (int, float)):
        return "number", Fraction(value)
    if isinstance(value, dict):
        return "map", sorted((str(name), canonical(item)) for name, item in value.items())
    return "list", [canonical(item) for item in value]


@given(flat)
def test_twins_agree_on_flat_sets(params: dict[str, Any]) -> None:
    both(params)


@given(nested)
def test_twins_agree_on_nested_sets(params: dict[str, Any]) -> None:
    both(params)


@given(nested, nested)
def test_equal_exactly_if_canonically_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (both(one) == both(other)) == (canonical(one) == canonical(other))


@given(flat, st.randoms())
def test_key_order_is_irrelevant(params: dict[str, Any], random: Any) -> None:
    items = list(params.items())
    random.shuffle(items)
    assert both(dict(items)) == both(params)


@given(nested, st.data())
def test_one_changed_value_changes_the_signature(
    params: dict[str, Any], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(params)))
    value = data.draw(values)
    assume(canonical(value) != canonical(params[name]))
    assert both({**params, name: value}) != both(params)


in_space = st.fixed_dictionaries(
    {},
    optional={
        "free": st.one_of(numbers, scalars),
        "grid": st.one_of(st.integers(-2, 12).map(lambda k: k * 0.1), scalars, numpy_scalars),
        "fine": st.one_of(st.integers(0, 1000).map(lambda k: k * 1e-12), values),
        "int": st.one_of(st.integers(-2, 22), st.integers(0, 10).map(float), scalars),
        "kind": st.one_of(st.sampled_from(SPECS["kind"]["choices"]), numpy_scalars, values),
        "side": st.one_of(st.sampled_from(["long", "short"]), values),
        "other": values,
    },
).filter(bool)


@given(in_space)
def test_twins_agree_with_a_space(params: dict[str, Any]) -> None:
    both(params, SPACE)


@given(st.lists(st.one_of(flat, nested), min_size=1, max_size=8), st.integers(1, 4))
def test_a_cache_gives_the_same_signatures(sets: list[dict[str, Any]], maxsize: int) -> None:
    cache = SignatureCache(maxsize=maxsize)
    for params in sets * 2:
        assert cache.signature(params) == param_signature(params)
        assert len(cache) <= maxsize
    cache.check()


# --- with a space


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("free", 1, 1.0),
        ("grid", 0.1 + 0.2, 0.3),
        ("grid", 1, 1.0),
        ("grid", 0, -0.0),
        ("grid", 0.7, np.float64(0.7)),
        ("fine", 3e-12, 3 * 1e-12),
        ("int", 4, 4.0),
        ("int", 4, np.int64(4)),
        ("kind", 2, 2.0),
        ("kind", 0.0, 0),
        ("kind", 0.0, -0.0),
        ("kind", 1.0, np.float64(1.0)),
        ("kind", 1, np.int8(1)),
        ("kind", True, np.bool_(True)),
        ("kind", 2**60 + 1, np.int64(2**60 + 1)),
        ("side", "long", Side.LONG),
        ("grid", 0.35, np.float64(0.35)),
    ],
)
def test_these_agree_in_a_space(name: str, one: Any, other: Any) -> None:
    assert both({name: one}, SPACE) == both({name: other}, SPACE)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("free", [1, True, "1", None, 0.1 + 0.2, 0.3]),
        ("grid", [0.0, 0.1, 0.2, 1, True, False, 0.35, 1.1, -0.1, 2, 3, "0.1", None, [0.1]]),
        ("fine", [1e-12, 2e-12, 1.5e-12, 0]),
        ("int", [0, 2, 4, 3, True, False, "2", None]),
        ("kind", [*SPECS["kind"]["choices"], False, "2", "long", [1], {}]),
        ("side", ["long", "short", "both", "slong", None, 0, 1]),
    ],
)
def test_these_all_differ_in_a_space(name: str, group: list[Any]) -> None:
    signatures = {both({name: value}, SPACE) for value in group}
    assert len(signatures) == len(group)


def test_an_index_is_no_value_and_a_choice_no_text() -> None:
    # 0.3 is step 3: a value of 3, which is off the grid, must not be taken for it.
    assert both({"grid": 0.3}, SPACE) != both({"grid": 3}, SPACE)
    assert both({"side": "long"}, SPACE) != both({"side": "slong"}, SPACE)


def test_missing_and_unknown_names_are_signed() -> None:
    part = both({"grid": 0.3}, SPACE)
    assert part != both({"grid": 0.3, "int": 2}, SPACE)
    assert part != both({"grid": 0.3, "unknown": 2}, SPACE)
    assert both({"unknown": 2}, SPACE) == both({"unknown": 2.0}, SPACE)


def space_of(**spec: Any) -> SearchSpace:
    return SearchSpace({"p": spec})


def test_another_grid_gives_other_signatures_but_a_longer_one_does_not() -> None:
    base = both({"p": 0.3}, space_of(type="float", min=0, max=1, step=0.1))
    assert base == both({"p": 0.3}, space_of(type="float", min=0, max=2, step=0.1))
    assert base != both({"p": 0.3}, space_of(type="float", min=0, max=1, step=0.05))
    # Step 3 of this grid is 0.4, so the index alone would make a false duplicate.
    assert base != both({"p": 0.4}, space_of(type="float", min=0.1, max=1, step=0.1))


def test_the_order_of_choices_is_irrelevant() -> None:
    one = space_of(type="categorical", choices=["a", "b", 1])
    other = space_of(type="categorical", choices=[1, "b", "a", "c"])
    for choice in ("a", "b", 1):
        assert both({"p": choice}, one) == both({"p": choice}, other)


# --- stable bytes

GOLDEN_CODE = """
import sys
from optimizer.signature import SignatureCache, param_signature
from optimizer.space import SearchSpace
space = SearchSpace({SPECS})
for params, with_space in {CASES}:
    print(param_signature(params, space if with_space else None).hex())
"""
CASES: list[tuple[Any, bool]] = [
    ({"a": 1}, False),
    ({"b": [1, 2.5, None, True, "x"], "a": {"k": 2**70, "j": 2**70 + 1}, "c": -0.0}, False),
    ({"rate": 0.0123, "depth": 7, "kind": "gbtree", "bias": True, "none": None}, False),
    ({"é": "\U0001f600", "\x00": "\xff", "z": 5e-324, "big": -(10**30)}, False),
    ({"free": 1, "grid": 0.1 + 0.2, "fine": 2e-12, "int": 4, "kind": 1.0, "side": "long"}, True),
    ({"grid": 0.35, "kind": "unknown", "other": (1, 2)}, True),
]
GOLDEN_HEX = [
    "2843614179ae0059cc91eccaec5b23b9",
    "e056764066e5634d13bf79954f06d172",
    "faac7bed372afcb978ec4779f0035ff9",
    "e1bb576bf00fe4d2765bdbbcc8b14eba",
    "d1f71ae345e90f998292751cb1c08bd1",
    "1cb6eb5c7b3df3531ab70b335b87843e",
]


def test_signatures_are_the_stored_ones() -> None:
    assert [both(params, SPACE if inside else None).hex() for params, inside in CASES] == GOLDEN_HEX


def interpreters() -> list[str]:
    """This Python, and others of this machine where they are."""
    versions = Path.home() / ".pyenv" / "versions"
    others = sorted(versions.glob("3.1[1-9]*/bin/python")) if versions.is_dir() else []
    return [sys.executable, *map(str, others)]


@pytest.mark.parametrize("python", interpreters())
@pytest.mark.parametrize("seed", ["0", "12345"])
def test_other_processes_and_pythons_give_the_same_bytes(python: str, seed: str) -> None:
    code = GOLDEN_CODE.replace("{SPECS}", repr(SPECS)).replace("{CASES}", repr(CASES))
    done = subprocess.run(
        [python, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == GOLDEN_HEX


# --- the reports' recipe, wrong as it is


def test_the_reports_recipe_is_as_described() -> None:
    before = reference.json_signature
    assert len(before({"a": 1})) == 64
    assert before({"a": 1, "b": 2}) == before({"b": 2, "a": 1})
    assert before({"a": 1}) != before({"a": 1.0})
    assert before({"a": np.int64(1)}) == before({"a": "1"})
    assert before({"a": math.nan}) == before({"a": math.nan})
    keys: list[Any] = [1, "1"]
    assert len({before({key: 1}) for key in keys}) == 1
    assert before({}) == before({})
