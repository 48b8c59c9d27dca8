"""Search spaces: specs, sizes, step indexes, and the way to Optuna and back."""

from __future__ import annotations

import copy
import json
import math
import pickle
import random
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from optimizer.errors import SpaceError
from optimizer.signature import param_signature
from optimizer.space import (
    CategoricalParameter,
    FloatParameter,
    GridWarning,
    IntParameter,
    SearchSpace,
    step_decimals,
)

SPECS: dict[str, dict[str, Any]] = {
    "rate": {"type": "float", "min": 1e-5, "max": 0.1, "log": True},
    "stop": {"type": "float", "min": 0, "max": 1, "step": 0.01},
    "period": {"type": "int", "min": 2, "max": 20, "step": 2},
    "units": {"type": "int", "min": 1, "max": 1000, "log": True},
    "kind": {"type": "categorical", "choices": ["sma", "ema", None]},
}


# --- strategies

steps = st.one_of(
    st.sampled_from([0.1, 0.01, 0.05, 0.3, 1e-5, 1e-7, 2.5e-5, 1e-12, 0.125, 1.0, 7.0, 1 / 3]),
    st.floats(1e-6, 1e6),
)


@st.composite
def grids(draw: st.DrawFn) -> optuna.distributions.FloatDistribution:
    """Float distributions with a step, as Optuna makes them, ends off the grid included."""
    step = draw(steps)
    low = (
        draw(st.one_of(st.just(0.0), st.floats(-1e3, 1e3), st.integers(-50, 50).map(float))) * step
    )
    high = low + draw(st.floats(0, 2_000)) * step
    if draw(st.booleans()):
        low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    assume(low <= high)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna says that the end was moved; it is wanted here
        return optuna.distributions.FloatDistribution(low, high, step=step)


@st.composite
def ranges(draw: st.DrawFn) -> optuna.distributions.FloatDistribution:
    log = draw(st.booleans())
    low = draw(st.floats(1e-300 if log else -1e300, 1e300))
    return optuna.distributions.FloatDistribution(low, draw(st.floats(low, 1e301)), log=log)


@st.composite
def ints(draw: st.DrawFn) -> optuna.distributions.IntDistribution:
    log = draw(st.booleans())
    largest = 2 ** draw(st.sampled_from([10, 50, 60]))
    low = draw(st.integers(1 if log else -largest, largest))
    step = 1 if log else draw(st.integers(1, 2**20))
    span = draw(st.integers(0, largest)) if log else draw(st.integers(0, 10**3)) * step
    return optuna.distributions.IntDistribution(low, low + span, log=log, step=step)


choices = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
choice_lists = st.lists(choices, min_size=1, max_size=6, unique_by=lambda c: (type(c), c))
distributions = st.dictionaries(
    st.text(max_size=5),
    st.one_of(
        grids(), ranges(), ints(), choice_lists.map(optuna.distributions.CategoricalDistribution)
    ),
    min_size=1,
    max_size=5,
)


# --- there and back


@given(distributions)
def test_optuna_distributions_come_back_equal(given_ones: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space = SearchSpace.from_distributions(given_ones)
        again = space.to_distributions()
    assert again == given_ones
    assert SearchSpace.from_distributions(again) == space
    for name, one in again.items():
        if not isinstance(one, optuna.distributions.CategoricalDistribution):
            continue
        types = [type(choice) for choice in given_ones[name].choices]
        assert [type(choice) for choice in one.choices] == types


@given(distributions)
def test_specs_come_back_equal(given_ones: Any) -> None:
    space = SearchSpace.from_distributions(given_ones)
    with warnings.catch_warnings():
        warnings.simplefilter("error", GridWarning)
        assert SearchSpace.from_specs(json.loads(json.dumps(space.to_specs()))) == space
    assert eval(repr(space), {"SearchSpace": SearchSpace}) == space
    for twin in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
        assert twin == space
        assert hash(twin) == hash(space)


@given(grids(), st.data())
def test_grid_points_by_either_arithmetic_have_their_index(one: Any, data: st.DataObject) -> None:
    space = SearchSpace.from_distributions({"p": one})
    last = space.size() - 1
    index = data.draw(st.integers(0, int(last)))
    decimal = space.value_at("p", index)
    # What Optuna's samplers compute, and the exact point in rational numbers.
    binary = min(max(index * one.step + one.low, one.low), one.high)
    exact = float(Fraction(repr(one.low)) + index * Fraction(repr(one.step)))
    assert decimal == pytest.approx(exact, rel=1e-15, abs=1e-300)
    assert space.step_index("p", decimal) == index
    assert space.step_index("p", binary) == index
    assert one.low <= decimal <= one.high
    assert space.to_specs()["p"]["max"] == space.value_at("p", int(last))


@given(grids(), st.floats(-0.5, 1.5), st.data())
def test_values_between_the_points_have_none(one: Any, part: float, data: st.DataObject) -> None:
    space = SearchSpace.from_distributions({"p": one})
    value = one.low + (one.high - one.low + one.step) * part
    steps_exact = (Fraction(value) - Fraction(one.low)) / Fraction(one.step)
    away = abs(steps_exact - round(steps_exact))
    inside = 0 <= round(steps_exact) < space.size()
    tolerance = space["p"].tolerance  # type: ignore[union-attr]  # a float with a step
    assume(away < tolerance / 2 or away > 2 * tolerance)
    if inside and away < tolerance:
        assert space.step_index("p", value) == round(steps_exact)
    else:
        with pytest.raises(SpaceError, match="parameter 'p': found"):
            space.step_index("p", value)


@given(ints(), st.data())
def test_integers_have_their_index(one: Any, data: st.DataObject) -> None:
    space = SearchSpace.from_distributions({"p": one})
    index = data.draw(st.integers(0, int(space.size()) - 1))
    value = space.value_at("p", index)
    assert value == one.low + index * one.step
    assert space.step_index("p", value) == index
    if one.step > 1:
        with pytest.raises(SpaceError):
            space.step_index("p", one.low + index * one.step + 1)


@given(choice_lists)
def test_choices_have_their_place(given_ones: list[Any]) -> None:
    space = SearchSpace({"p": {"type": "categorical", "choices": given_ones}})
    assert space.size() == len(given_ones)
    for place, choice in enumerate(given_ones):
        assert space.step_index("p", choice) == place
        assert type(space.value_at("p", place)) is type(choice)


@given(distributions, st.integers(0, 2**32 - 1))
def test_sampled_parameters_have_indexes_and_sign_equal(given_ones: Any, seed: int) -> None:
    for one in given_ones.values():
        # Optuna keeps every number as a float, so that it samples integers beyond 2**53 wrongly.
        whole = isinstance(one, optuna.distributions.IntDistribution)
        assume(not whole or max(abs(one.low), abs(one.high)) <= 2**53)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's own about huge integers and tiny ranges
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        params = study.ask(given_ones).params
    space = SearchSpace.from_distributions(given_ones)
    again = dict(params)
    for name, parameter in space.items():
        if parameter.size == math.inf:
            continue
        again[name] = space.value_at(name, space.step_index(name, params[name]))
    assert param_signature(params, space) == param_signature(again, space)


# --- size, decimals, access


def test_size_is_the_exact_number_of_combinations() -> None:
    space = SearchSpace(SPECS)
    assert space.size() == math.inf
    finite = SearchSpace({name: spec for name, spec in SPECS.items() if name != "rate"})
    assert finite.size() == 101 * 10 * 1000 * 3
    assert isinstance(finite.size(), int)


def test_size_stays_exact_beyond_floats_and_beside_infinity() -> None:
    wide = {str(i): {"type": "int", "min": 0, "max": 10**80} for i in range(6)}
    assert SearchSpace(wide).size() == (10**80 + 1) ** 6
    assert SearchSpace({**wide, "p": SPECS["rate"]}).size() == math.inf


def test_a_range_of_one_value_is_finite() -> None:
    space = SearchSpace({"p": {"type": "float", "min": 2, "max": 2}})
    assert space.size() == 1
    assert space.step_index("p", 2) == 0
    assert space.value_at("p", 0) == 2.0
    with pytest.raises(SpaceError):
        space.step_index("p", 2.5)


@pytest.mark.parametrize(
    ("step", "decimals"),
    [(1, 0), (10, 0), (1e20, 0), (0.5, 1), (0.01, 2), (1e-5, 5), (1e-7, 7), (2.5e-5, 6), (0.1, 1)],
)
def test_decimals_of_a_step(step: float, decimals: int) -> None:
    assert step_decimals(step) == decimals


@given(st.integers(1, 10**15), st.integers(0, 30))
def test_a_step_is_written_exactly_with_its_decimals(digits: int, decimals: int) -> None:
    step = float(f"{digits}e-{decimals}")
    assert float(f"{step:.{step_decimals(step)}f}") == step
    assert step_decimals(step) <= decimals


@pytest.mark.parametrize("step", [0, -1, math.nan, math.inf, True, "0.1", None])
def test_a_senseless_step_has_no_decimals(step: Any) -> None:
    with pytest.raises(SpaceError, match="found step"):
        step_decimals(step)


def test_decimals_of_parameters() -> None:
    space = SearchSpace({**SPECS, "q": {"type": "float", "min": 0.25, "max": 1.25, "step": 0.5}})
    decimals = {name: space.decimals(name) for name in space}
    assert decimals == {
        "rate": None,
        "stop": 2,
        "period": 0,
        "units": 0,
        "kind": None,
        "q": 2,
    }


def test_a_space_is_a_mapping_of_parameters() -> None:
    space = SearchSpace(SPECS)
    assert list(space) == list(SPECS)
    assert len(space) == 5
    assert "stop" in space
    assert "nothing" not in space
    assert space.get("nothing") is None
    assert space["stop"] == FloatParameter(0, 1, 0.01)
    assert space["period"] == IntParameter(2, 20, 2)
    assert space["kind"] == CategoricalParameter(("sma", "ema", None))
    assert space["kind"] != space["period"]


def test_equality_ignores_order_but_not_types() -> None:
    space = SearchSpace(SPECS)
    turned = SearchSpace(dict(reversed(SPECS.items())))
    assert space == turned
    assert hash(space) == hash(turned)
    assert space != SearchSpace({"stop": SPECS["stop"]})
    assert space != SPECS
    one, true = ({"p": {"type": "categorical", "choices": [c]}} for c in (1, True))
    assert SearchSpace(one) != SearchSpace(true)


def test_both_words_for_the_ends_are_read() -> None:
    ours = SearchSpace({"p": {"type": "float", "min": 0, "max": 1, "step": None}})
    theirs = SearchSpace({"p": {"type": "float", "low": 0, "high": 1}})
    assert ours == theirs


def test_numpy_numbers_are_read_as_plain_ones() -> None:
    space = SearchSpace(
        {
            "f": {
                "type": "float",
                "min": np.float64(0),
                "max": np.int64(1),
                "step": np.float64(0.5),
            },
            "i": {"type": "int", "min": np.int32(1), "max": np.uint8(3)},
            "c": {"type": "categorical", "choices": [np.str_("a"), np.bool_(True), np.int8(1)]},
        }
    )
    specs = space.to_specs()
    assert specs["c"]["choices"] == ["a", True, 1]
    assert [type(choice) for choice in specs["c"]["choices"]] == [str, bool, int]
    assert type(specs["f"]["max"]) is float
    assert type(specs["i"]["max"]) is int
    assert space.step_index("f", np.float32(0.5)) == 1
    assert space.step_index("i", np.int64(2)) == 1
    assert space.step_index("c", np.int64(1)) == 2


def test_choices_equal_in_value_but_not_in_type_stay_apart() -> None:
    space = SearchSpace({"p": {"type": "categorical", "choices": [True, 1, 1.0, "1", None]}})
    assert [space.step_index("p", c) for c in (True, 1, 1.0, "1", None)] == [0, 1, 2, 3, 4]
    only = SearchSpace({"p": {"type": "categorical", "choices": ["a", 1]}})
    assert only.step_index("p", 1.0) == 1
    with pytest.raises(SpaceError):
        only.step_index("p", True)


# --- ends off the grid


@pytest.mark.parametrize(
    ("spec", "high", "size"),
    [
        ({"type": "float", "min": 0, "max": 1, "step": 0.3}, 0.9, 4),
        ({"type": "float", "min": 0, "max": 0.1 + 0.2, "step": 0.1}, 0.3, 4),
        ({"type": "int", "min": 1, "max": 9, "step": 3}, 7, 3),
    ],
)
def test_an_end_off_the_grid_moves_down_with_a_warning(spec: Any, high: float, size: int) -> None:
    with pytest.warns(GridWarning, match=r"parameter 'p': max .* is not min"):
        space = SearchSpace({"p": spec})
    assert space["p"].high == high  # type: ignore[union-attr]  # a float or int
    assert space.size() == size
    words = {"min": "low", "max": "high"}
    fields = {words.get(word, word): value for word, value in spec.items() if word != "type"}
    kinds = {
        "float": optuna.distributions.FloatDistribution,
        "int": optuna.distributions.IntDistribution,
    }
    with pytest.warns(UserWarning, match="will be replaced"):
        assert space.to_distributions()["p"] == kinds[spec["type"]](**fields)


@pytest.mark.parametrize(
    ("low", "high", "step", "size"),
    [
        (0, 1, 0.1, 11),
        (0, 1, 1e-5, 100_001),
        (0.05, 0.5, 0.05, 10),
        (-1, 1, 0.1, 21),
        (0, 1e-6, 1e-7, 11),
    ],
)
def test_every_point_of_a_decimal_grid_is_there(
    low: float, high: float, step: float, size: int
) -> None:
    space = SearchSpace({"p": {"type": "float", "min": low, "max": high, "step": step}})
    assert space.size() == size
    assert space.value_at("p", size - 1) == high
    rng = random.Random(1)
    for index in [0, 1, size - 1, *(rng.randrange(size) for _ in range(50))]:
        assert space.step_index("p", low + index * step) == index
