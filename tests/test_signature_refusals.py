"""Signatures: what is refused, wherever it stands."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer import signature as fast
from optimizer.errors import SignatureError
from optimizer.reference import signature as reference
from optimizer.signature import SignatureCache, param_signature
from optimizer.space import SearchSpace

GRID = {"type": "float", "min": 0, "max": 1, "step": 0.1}
SPACE = SearchSpace({"grid": GRID, "side": {"type": "categorical", "choices": ["long", "short"]}})


def both(params: Any, space: SearchSpace | None = None) -> bytes:
    """The signature, after the fast and the plain way were seen to agree."""
    comp = param_signature(params, space)
    assert comp == reference.param_signature(params, space)
    return comp


_ENDLESS: list[Any] = []
_ENDLESS.append(_ENDLESS)
_TURNING: dict[str, Any] = {}
_TURNING["again"] = [_TURNING]
_BOMB: list[Any] = ["x"] * 10
for _ in range(20):
    _BOMB = [_BOMB] * 10


def deep(levels: int) -> Any:
    """A list in a list, so many times."""
    return [deep(levels - 1)] if levels > 1 else []


REFUSED: list[tuple[Any, str]] = [
    ({}, "found no parameters, expected at least one"),
    (OrderedDict(), "found no parameters"),
    ({"p": math.nan}, "found nan at p, expected a finite number"),
    ({"p": math.inf, "q": 1}, "found inf at p"),
    ({"p": 1, "q": -math.inf}, "found -inf at q"),
    ({"p": np.float32("nan")}, "found nan at p"),
    ({"p": {"x": [0, 1, math.nan]}}, "found nan at p.x[2]"),
    ({1: 1}, "found the name 1 of type int, expected a string"),
    ({None: 1}, "found the name None of type NoneType"),
    ({("a", "b"): 1}, "found the name ('a', 'b') of type tuple"),
    ({"p": {"q": {2: 1}}}, "found the name 2 of type int in p.q"),
    ({"p": "\ud800"}, r"found '\ud800' at p, expected text without lone surrogates"),
    ({"p": ["a\udfffb"]}, r"found 'a\udfffb' at p[0]"),
    ({"\ud800": 1}, r"at the name \ud800"),
    ({"p": {"\udc00": 1}}, r"at the name p.\udc00"),
    ({"p": b"x"}, "found a bytes at p, expected None, bool"),
    ({"p": {1, 2}}, "found a set at p"),
    ({"p": Decimal(1)}, "found a Decimal at p"),
    ({"p": Fraction(1, 2)}, "found a Fraction at p"),
    ({"p": 1j}, "found a complex at p"),
    ({"p": object()}, "found a object at p"),
    ({"p": np.array([1.0])}, "found a ndarray at p"),
    ({"p": np.array(1.0)}, "found a ndarray at p"),
    ({"p": np.complex128(1)}, "found a complex128 at p"),
    ({"p": np.longdouble("0.1")}, f"found a {np.longdouble.__name__} at p"),
    ({"p": np.datetime64(1, "ns")}, "found a datetime64 at p"),
    ({"p": np.timedelta64(1, "ns")}, "found a timedelta64 at p"),
    ({"p": np.bytes_(b"a")}, "found a bytes_ at p"),
    ({"p": deep(33)}, "found nesting deeper than 32 at p[0]"),
    ({"p": _ENDLESS}, "found nesting deeper than 32 at p[0]"),
    (_TURNING, "found nesting deeper than 32 at again[0].again[0]"),
    ({"p": [0] * 10_001}, "found more than 10000 values at p"),
    ({"p": _BOMB}, "found more than 10000 values at p[0]"),
]


@pytest.mark.parametrize(("params", "message"), REFUSED)
@pytest.mark.parametrize("space", [None, SPACE, SearchSpace({"p": GRID})])
def test_these_are_refused(params: Any, message: str, space: SearchSpace | None) -> None:
    for _ in range(2):
        with pytest.raises(SignatureError) as plain:
            param_signature(params, space)
    text = str(plain.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 400
    text.encode("ascii")
    with pytest.raises(ValueError, match=r"\S"):
        reference.param_signature(params, space)
    for cache in (SignatureCache(space=space), seen_before(space)):
        counters = cache.counters()
        with pytest.raises(SignatureError, match=re.escape(text)) as caught:
            cache.signature(params)
        assert type(caught.value.__context__) is type(plain.value.__context__)
        assert cache.counters() == counters


def seen_before(space: SearchSpace | None) -> SignatureCache:
    """A cache that knows the names of most sets here."""
    cache = SignatureCache(space=space)
    for params in ({"p": 1}, {"p": 1, "q": 2}):
        cache.signature(params)
    return cache


def test_nesting_up_to_the_limit_is_signed() -> None:
    assert both({"p": deep(fast.MAX_DEPTH)}) != both({"p": deep(fast.MAX_DEPTH - 1)})
    both({"p": [0] * 9_998})


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "x", None, [1]])
def test_a_refusal_does_not_depend_on_what_was_signed_before(value: Any) -> None:
    params: dict[str, Any] = {"grid": 0.5, "side": "long"}
    before = both(params, SPACE)
    try:
        both({**params, "grid": value}, SPACE)
    except SignatureError:
        assert isinstance(value, float)
    assert both(params, SPACE) == before
