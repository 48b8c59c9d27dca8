"""Search spaces: what is refused, in one line each."""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
import pytest

from optimizer.errors import SpaceError
from optimizer.space import SearchSpace

SPECS: dict[str, dict[str, Any]] = {
    "rate": {"type": "float", "min": 1e-5, "max": 0.1, "log": True},
    "stop": {"type": "float", "min": 0, "max": 1, "step": 0.01},
    "period": {"type": "int", "min": 2, "max": 20, "step": 2},
    "units": {"type": "int", "min": 1, "max": 1000, "log": True},
    "kind": {"type": "categorical", "choices": ["sma", "ema", None]},
}


BAD_SPECS: list[tuple[Any, str]] = [
    (None, "expected a mapping of at least one name"),
    ({}, "expected a mapping of at least one name"),
    ([], "expected a mapping of at least one name"),
    ({3: {"type": "int", "min": 0, "max": 1}}, "the parameter name 3, expected a string"),
    ({"\ud800": {"type": "int", "min": 0, "max": 1}}, "without lone surrogates"),
    ({"p": 5}, "expected a mapping like"),
    ({"p": {}}, "found type None, expected 'float', 'int' or 'categorical'"),
    ({"p": {"type": "double", "min": 0, "max": 1}}, "found type 'double'"),
    ({"p": {"type": ["int"], "min": 0, "max": 1}}, "found type"),
    ({"p": {"type": "float", "min": 0}}, "found no 'max'"),
    ({"p": {"type": "float", "max": 0}}, "found no 'min'"),
    ({"p": {"type": "categorical"}}, "found no 'choices'"),
    ({"p": {"type": "float", "min": 0, "max": 1, "stepp": 1}}, "found field 'stepp'"),
    ({"p": {"type": "float", "min": 0, "max": 1, 5: 1}}, "found field 5"),
    ({"p": {"type": "float", "min": 0, "low": 0, "max": 1}}, "found both 'min' and 'low'"),
    ({"p": {"type": "categorical", "choices": [1], "min": 0}}, "found field 'min'"),
    ({"p": {"type": "float", "min": 2, "max": 1}}, "found min 2.0 above max 1.0"),
    ({"p": {"type": "int", "min": 2, "max": 1}}, "found min 2 above max 1"),
    ({"p": {"type": "float", "min": 0, "max": 1, "step": 0}}, "found step 0, expected a positive"),
    ({"p": {"type": "float", "min": 0, "max": 1, "step": -0.1}}, "found step -0.1"),
    ({"p": {"type": "float", "min": 0, "max": 1, "step": math.nan}}, "found step nan"),
    ({"p": {"type": "float", "min": 0, "max": 1, "step": True}}, "found step True"),
    ({"p": {"type": "float", "min": 1, "max": 2, "step": 0.1, "log": True}}, "step 0.1 with log"),
    ({"p": {"type": "float", "min": 1, "max": 2, "step": 1e-16}}, "floats cannot tell apart"),
    ({"p": {"type": "float", "min": -1e308, "max": 1e308, "step": 1e300}}, "cannot tell apart"),
    ({"p": {"type": "float", "min": math.nan, "max": 1}}, "found min nan"),
    ({"p": {"type": "float", "min": 0, "max": math.inf}}, "found max inf"),
    ({"p": {"type": "float", "min": 0, "max": 10**400}}, "found max 1000"),
    ({"p": {"type": "float", "min": False, "max": 1}}, "found min False"),
    ({"p": {"type": "float", "min": "0", "max": 1}}, "found min '0'"),
    ({"p": {"type": "float", "min": 0, "max": 1, "log": True}}, "found min 0.0 with log"),
    ({"p": {"type": "float", "min": 1, "max": 2, "log": "yes"}}, "found log 'yes'"),
    ({"p": {"type": "int", "min": 0, "max": 1, "log": True}}, "found min 0 with log"),
    ({"p": {"type": "int", "min": 1, "max": 9, "step": 2, "log": True}}, "found step 2 with log"),
    ({"p": {"type": "int", "min": 1, "max": 9, "step": 0}}, "found step 0"),
    ({"p": {"type": "int", "min": 1.0, "max": 9}}, "found min 1.0, expected an integer"),
    ({"p": {"type": "int", "min": True, "max": 9}}, "found min True, expected an integer"),
    ({"p": {"type": "categorical", "choices": []}}, "found no choices"),
    ({"p": {"type": "categorical", "choices": "abc"}}, "found choices 'abc', expected a list"),
    ({"p": {"type": "categorical", "choices": 5}}, "found choices 5, expected a list"),
    ({"p": {"type": "categorical", "choices": ["a", "b", "a"]}}, "the choice 'a' twice"),
    ({"p": {"type": "categorical", "choices": [0.0, -0.0]}}, "the choice -0.0 twice"),
    ({"p": {"type": "categorical", "choices": [math.nan]}}, "the choice nan"),
    ({"p": {"type": "categorical", "choices": [(1, 2)]}}, "a choice of type tuple"),
    ({"p": {"type": "categorical", "choices": ["\udfff"]}}, "without lone surrogates"),
]


@pytest.mark.parametrize(("specs", "message"), BAD_SPECS)
def test_a_bad_spec_is_refused_in_one_line(specs: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        SearchSpace(specs)
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 300
    if isinstance(specs, dict) and "p" in specs:
        assert text.startswith("parameter 'p': ")


def test_distributions_a_space_cannot_hold_are_refused() -> None:
    with pytest.raises(SpaceError, match="parameter 'p': found the choice nan"):
        SearchSpace.from_distributions(
            {"p": optuna.distributions.CategoricalDistribution([math.nan])}
        )
    with pytest.raises(SpaceError, match="parameter 'p': found 5, expected an Optuna"):
        SearchSpace.from_distributions({"p": 5})  # type: ignore[dict-item]  # that is the test


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stop", 0.005), ("stop", 1.01), ("stop", -0.01), ("stop", math.nan), ("stop", math.inf),
        ("stop", True), ("stop", "0.1"), ("stop", None), ("stop", 10**400), ("stop", [1]),
        ("period", 3), ("period", 22), ("period", 0), ("period", 2.5), ("period", True),
        ("period", "2"), ("period", math.nan), ("period", -math.inf), ("period", None),
        ("kind", "wma"), ("kind", 0), ("kind", []), ("kind", math.nan),
        ("rate", 0.01), ("nothing", 1),
    ],
)  # fmt: skip
def test_a_value_that_does_not_belong_has_no_index(name: str, value: Any) -> None:
    with pytest.raises(SpaceError, match=f"parameter '{name}'"):
        SearchSpace(SPECS).step_index(name, value)


@pytest.mark.parametrize(
    ("name", "index"),
    [("stop", -1), ("stop", 101), ("kind", 3), ("kind", True), ("rate", 0), ("x", 0)],
)
def test_an_index_that_does_not_belong_has_no_value(name: str, index: int) -> None:
    with pytest.raises(SpaceError, match=f"parameter '{name}'"):
        SearchSpace(SPECS).value_at(name, index)


@pytest.mark.parametrize("name", ["stop", "period", "kind"])
@pytest.mark.parametrize("index", [None, 1.5, 1.0, "1", pytest.param(10**5000, id="huge")])
def test_what_is_no_index_has_no_value(name: str, index: Any) -> None:
    with pytest.raises(SpaceError, match=f"parameter '{name}': found index"):
        SearchSpace(SPECS).value_at(name, index)


def test_a_float_without_a_step_has_no_grid_to_be_off() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SearchSpace({"p": {"type": "float", "min": 0, "max": 2**53 + 1}})


HUGE = 10**5000


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "float", "min": 0, "max": HUGE},
        {"type": "int", "min": HUGE, "max": 0},
        {"type": "int", "min": 0, "max": 9, "step": -HUGE},
        {"type": "int", "min": -HUGE, "max": 9, "log": True},
        {"type": "categorical", "choices": [HUGE, HUGE]},
        {"type": HUGE},
        HUGE,
    ],
    ids=range(7),
)
def test_numbers_too_long_to_write_are_refused_in_words(spec: Any) -> None:
    with pytest.raises(SpaceError, match="too long to write out"):
        SearchSpace({"p": spec})
    with pytest.raises(SpaceError, match="too long to write out"):
        SearchSpace(SPECS).step_index("stop", HUGE)
