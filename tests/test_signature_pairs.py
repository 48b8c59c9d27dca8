"""Equal parameters <=> equal signature, on many generated pairs, against exact arithmetic."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer.signature import SignatureCache, param_signature
from optimizer.space import CategoricalParameter, FloatParameter, SearchSpace

Params = dict[str, Any]

SPACE = SearchSpace(
    {
        "rate": {"type": "float", "min": 0, "max": 0.02, "step": 1e-5},
        "width": {"type": "float", "min": -0.01, "max": 0.01, "step": 2.5e-5},
        "part": {"type": "float", "min": 0, "max": 30, "step": 0.1},
        "free": {"type": "float", "min": -10, "max": 10},
        "period": {"type": "int", "min": -4, "max": 40, "step": 2},
        "kind": {"type": "categorical", "choices": [1, 1.0, True, "1", "ä", None, 2**70, 0.5]},
    }
)
PAIRS, SLICE = 100_000, 4_000


# --- what is equal, told without the code under test


def plain(value: Any) -> Any:
    """A numpy scalar as the built-in; `item` of a text would lose its last NUL characters."""
    if isinstance(value, str):
        return "".join(value)
    return value.item() if isinstance(value, np.generic) else value


def canonical(value: Any) -> Any:
    """A tree that compares equal exactly where two values ought to agree."""
    value = plain(value)
    if value is None or isinstance(value, (bool, str)):
        return type(value).__name__, value
    if isinstance(value, (int, float)):
        return "number", Fraction(value)
    if isinstance(value, dict):
        return "map", sorted((name, canonical(item)) for name, item in value.items())
    return "list", [canonical(item) for item in value]


def in_space(name: str, value: Any) -> Any:
    """The same, but a step of a grid and a choice are what they are in the space."""
    parameter = SPACE.get(name)
    value = plain(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(parameter, FloatParameter) and parameter.step is not None and number:
        step, low = Fraction(repr(parameter.step)), Fraction(repr(parameter.low))
        index = round((Fraction(value) - low) / step)
        inside = 0 <= index <= (Fraction(repr(parameter.high)) - low) / step
        if inside and abs((Fraction(value) - low) / step - index) <= Fraction(parameter.tolerance):
            return "step", index
    if isinstance(parameter, CategoricalParameter) and not isinstance(value, (list, tuple, dict)):
        exact = [c for c in parameter.choices if type(c) is type(value) and c == value]
        close = [
            c
            for c in parameter.choices
            if number and isinstance(c, (int, float)) and not isinstance(c, bool) and c == value
        ]
        if exact or close:
            choice = (exact or close)[0]
            return "choice", type(choice).__name__, choice
    return canonical(value)


def equal(one: Params, other: Params, space: SearchSpace | None) -> bool:
    """Whether two sets are the same point, by their names and exact values."""
    if space is None:
        return bool(canonical(one) == canonical(other))
    return {n: in_space(n, v) for n, v in one.items()} == {
        n: in_space(n, v) for n, v in other.items()
    }


# --- generated sets


TEXTS = ("", "1", "True", "None", "ä", "a\u0308", "ä\x00", "\U0001f600", "日本", "a", "\xff")
NAMES = (*SPACE, "ä", "a\u0308", "x", "nested", "日本")


def summed(rng: random.Random, step: float, low: float, most: int) -> float:
    """A grid point as people make them: added up, multiplied, rounded, or read."""
    k = rng.randrange(most)
    way = rng.randrange(4)
    if way == 0:
        value = low
        for _ in range(k % 1_000):
            value += step
        return value
    if way == 1:
        return low + k * step
    if way == 2:
        return float(Fraction(repr(low)) + k * Fraction(repr(step)))
    return round(low + k * step, 7)


def scalar(rng: random.Random) -> Any:
    makers: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice((None, True, False, 0, 1, 0.0, -0.0, 1.0, "1", "True")),
        lambda: rng.choice(TEXTS),
        lambda: rng.randrange(-3, 40),
        lambda: float(rng.randrange(-3, 40)),
        lambda: rng.choice((2**53, 2**53 + 1, 2**63, 2**64 + 1, -(2**70), 2**70, 10**40, 10**400)),
        lambda: rng.choice((2.0**53, 2.0**63, 2.0**70, -(2.0**70), 1e40, 5e-324, 1e308)),
        lambda: summed(rng, 0.1, 0.0, 301),
        lambda: summed(rng, 1e-5, 0.0, 2_001),
        lambda: summed(rng, 2.5e-5, -0.01, 801),
        rng.random,
        lambda: np.float64(rng.randrange(9)),
        lambda: np.int64(rng.randrange(9)),
        lambda: np.bool_(rng.random() < 0.5),
        lambda: np.str_(rng.choice(TEXTS)),
    )
    return rng.choice(makers)()


def nested(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.randrange(6) if depth else 0
    if kind < 3:
        return scalar(rng)
    items = [nested(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind < 5:
        return items if kind == 3 else tuple(items)
    return {rng.choice(TEXTS): item for item in items}


def value_for(rng: random.Random, name: str) -> Any:
    if name == "nested":
        return nested(rng)
    if rng.random() < 0.15:
        return scalar(rng)
    makers: dict[str, Callable[[], Any]] = {
        "rate": lambda: summed(rng, 1e-5, 0.0, 2_001),
        "width": lambda: summed(rng, 2.5e-5, -0.01, 801),
        "part": lambda: summed(rng, 0.1, 0.0, 301),
        "period": lambda: rng.randrange(-4, 42),
        "kind": lambda: rng.choice((1, 1.0, True, "1", "ä", None, 2**70, 0.5)),
    }
    return makers.get(name, lambda: scalar(rng))()


def params_of(rng: random.Random) -> Params:
    names = rng.sample(NAMES, rng.randrange(1, 7))
    return {name: value_for(rng, name) for name in names}


def disguised(rng: random.Random, value: Any) -> Any:
    """A value that is often equal to the given one, of another type or computed in another way."""
    if isinstance(value, dict):
        items = [(name, disguised(rng, item)) for name, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    if isinstance(value, (list, tuple)):
        items_of = [disguised(rng, item) for item in value]
        return tuple(items_of) if isinstance(value, list) else items_of
    if isinstance(value, np.generic):
        return plain(value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number:
        return value
    if isinstance(value, int):
        return float(value) if abs(value) < 2**1000 else value
    near = round(value / 2.5e-6) * 2.5e-6 if abs(value) < 1e100 else value
    ways = (np.float64(value), int(value) if value.is_integer() else value, near, round(value, 9))
    return rng.choice(ways)


def nudged(rng: random.Random, value: Any) -> Any:
    """A value that is mostly another, though it looks alike."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        ways = (str(value)[:20], bool(value), value + 1, -value, [value], float(np.nextafter(
            float(value) if abs(value) < 2**1000 else 0.0, 9.0)))  # fmt: skip
        return rng.choice(ways)
    if isinstance(value, str):
        return rng.choice((value + "\x00", value + "a", [value], None, value.upper()))
    if isinstance(value, (list, tuple)):
        return rng.choice(([*value, None], [list(value)], {"a": 1}, list(reversed(value))))
    return rng.choice((0, "", "None", [], scalar(rng)))


def pairs(count: int, seed: int) -> Iterator[tuple[Params, Params]]:
    rng = random.Random(seed)
    for _ in range(count):
        one = params_of(rng)
        other = disguised(rng, one)
        way = rng.randrange(5)
        if way == 0:
            name = rng.choice(list(one))
            other[name] = nudged(rng, one[name])
        elif way == 1:
            other[rng.choice(NAMES)] = scalar(rng)
        elif way == 2:
            other.pop(rng.choice(list(one)))
            other = other or params_of(rng)
        elif way == 3:
            name = rng.choice(list(one))
            other[name] = value_for(rng, name)
        yield one, other


def hold(count: int, seed: int) -> None:
    """Every pair, with the space and without; both verdicts must be common."""
    verdicts: Counter[tuple[bool, bool]] = Counter()
    by_space, by_value = SignatureCache(space=SPACE), SignatureCache()
    for one, other in pairs(count, seed):
        for space, cache in ((SPACE, by_space), (None, by_value)):
            same = equal(one, other, space)
            signatures = param_signature(one, space), param_signature(other, space)
            assert (signatures[0] == signatures[1]) is same, (one, other, space)
            assert cache.signature(one) == signatures[0]
            assert cache.signature(other) == signatures[1]
            verdicts[space is None, same] += 1
    assert sum(verdicts.values()) == 2 * count
    assert min(verdicts.values()) > count // 10
    assert len(verdicts) == 4


def test_equal_parameters_are_equal_signatures_on_a_slice() -> None:
    hold(SLICE, seed=1)


@pytest.mark.stress
def test_equal_parameters_are_equal_signatures_on_all_pairs() -> None:
    hold(PAIRS, seed=2)


@pytest.mark.parametrize(
    ("name", "low", "step", "count"),
    [("rate", 0.0, 1e-5, 2_000), ("width", -0.01, 2.5e-5, 800), ("part", 0.0, 0.1, 300)],
)
def test_a_sum_of_steps_is_the_step_it_stands_for(
    name: str, low: float, step: float, count: int
) -> None:
    value = low
    seen = set()
    for k in range(count + 1):
        exact = SPACE.value_at(name, k)
        assert SPACE.step_index(name, value) == SPACE.step_index(name, low + k * step) == k
        signature = param_signature({name: value}, SPACE)
        assert signature == param_signature({name: exact}, SPACE)
        seen.add(signature)
        value += step
    assert len(seen) == count + 1


def test_one_true_and_one_point_zero_are_told_apart_where_they_differ() -> None:
    assert param_signature({"p": 1}) == param_signature({"p": 1.0}) != param_signature({"p": True})
    three = {param_signature({"kind": choice}, SPACE) for choice in (1, 1.0, True)}
    assert len(three) == 3
    assert param_signature({"period": 2}, SPACE) == param_signature({"period": 2.0}, SPACE)
    assert param_signature({"x": 10**400}) != param_signature({"x": 10**400 + 1})
