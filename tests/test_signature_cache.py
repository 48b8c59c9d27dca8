"""Prepared shapes and remembered signatures change no signature."""

from __future__ import annotations

import enum
import math
import re
import threading
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer import signature as fast
from optimizer.caching import CacheCounters
from optimizer.errors import CacheError, SignatureError
from optimizer.reference import signature as reference
from optimizer.signature import SignatureCache, param_signature
from optimizer.space import SearchSpace

ROOT = Path(__file__).resolve().parent.parent

SPACE = SearchSpace(
    {
        "grid": {"type": "float", "min": 0, "max": 1, "step": 0.1},
        "kind": {"type": "categorical", "choices": [True, 1, 1.0, "1", None]},
        "side": {"type": "categorical", "choices": ["long", "short"]},
    }
)


class Side(enum.StrEnum):
    """A str by another name."""

    LONG = "long"


def space_of(**spec: Any) -> SearchSpace:
    return SearchSpace({"p": spec})


def test_shapes_are_forgotten_beyond_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_SHAPES", {})
    monkeypatch.setattr(fast, "MAX_SHAPES", 5)
    for i in range(20):
        params = {f"p{i}": 1}
        assert param_signature(params) == reference.param_signature(params)
        assert 0 < len(fast._SHAPES) <= 5


def test_a_prepared_space_keeps_its_own_shapes() -> None:
    params = {"p": 0.3}
    one, other = (space_of(type="float", min=low, max=1, step=0.1) for low in (0, 0.1))
    assert len({param_signature(params, space) for space in (None, one, other)}) == 3
    assert len({param_signature(params, space) for space in (None, one, other)}) == 3


def test_a_cache_keeps_types_apart_and_counts() -> None:
    cache = SignatureCache()
    for value in (1, 1.0, True, "1", 0, -0.0, False):
        assert cache.signature({"p": value}) == param_signature({"p": value})
    assert cache.counters().misses == 7
    assert cache.signature({"p": True}) == param_signature({"p": True})
    assert cache.counters().hits == 1
    for container in ((True,), (1,), [True], [1], {"a": True}, np.float64(1), np.bool_(True)):
        assert cache.signature({"p": container}) == param_signature({"p": container})
    for refused in (math.nan, Decimal(1), Fraction(1), b"1", np.array([1.0])):
        with pytest.raises(SignatureError):
            cache.signature({"p": refused})
    assert cache.counters() == CacheCounters(hits=1, misses=7)  # neither is counted, nor kept
    assert len(cache) == 7
    cache.clear()
    assert len(cache) == 0
    assert cache.counters() == CacheCounters()


def test_a_cache_forgets_what_was_used_longest_ago() -> None:
    cache = SignatureCache(maxsize=3)
    for value in (1, 2, 3, 1, 4, 1, 2):  # 2 went for 4, then 3 for 2
        cache.signature({"p": value})
    assert cache.counters() == CacheCounters(hits=2, misses=5, evictions=2)
    for value in (4, 1, 2):
        cache.signature({"p": value})
    assert cache.counters().hits == 5
    cache.check()


@pytest.mark.parametrize("maxsize", [0, -1, True, 1.0, None])
def test_a_cache_wants_a_size(maxsize: Any) -> None:
    with pytest.raises(CacheError, match="expected an integer of at least 1"):
        SignatureCache(maxsize)


def test_names_of_another_type_or_order_are_the_same_names() -> None:
    cache = SignatureCache()
    names: list[Any] = ["long", Side.LONG, np.str_("long")]
    for name in names:
        assert cache.signature({name: 1, "b": 2}) == param_signature({"long": 1, "b": 2})
        assert cache.signature({"b": 2, name: 1}) == param_signature({"long": 1, "b": 2})
    numbers: list[Any] = [1, True, 1.0]
    for name in numbers:
        with pytest.raises(SignatureError, match=f"found the name {name} of type"):
            cache.signature({name: 1})


def test_a_cache_forgets_names_beyond_their_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "MAX_SHAPES", 5)
    cache = SignatureCache(maxsize=100)
    for i in (*range(20), *range(20)):
        assert cache.signature({f"p{i}": 1, "q": 2}) == param_signature({f"p{i}": 1, "q": 2})
        assert len(cache._names) <= 5
    cache.check()
    assert cache.signature({"p19": 1, "q": 2}) == param_signature({"p19": 1, "q": 2})
    assert cache.counters().hits == 1


def test_nothing_in_the_package_remembers_signatures_by_itself() -> None:
    """A miss costs more than a signature, and a trial is signed once."""
    using = [
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "optimizer").rglob("*.py")
        if re.search(r"\bSignatureCache\(", file.read_text(encoding="utf-8"))
    ]
    assert using == []


def test_a_cache_uses_its_space() -> None:
    cache = SignatureCache(space=SPACE)
    assert cache.signature({"grid": 0.1 + 0.2}) == cache.signature({"grid": 0.3})
    assert cache.signature({"kind": 1}) != cache.signature({"kind": 1.0})


def test_threads_sign_alike() -> None:
    cache = SignatureCache(maxsize=10, space=SPACE)
    sets = [{"grid": k / 10, f"p{k % 3}": k, "side": "long"} for k in range(11)]
    expected = [reference.param_signature(params, SPACE) for params in sets]
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(50):
            for params, signature in zip(sets, expected, strict=True):
                if (
                    cache.signature(params) != signature
                    or param_signature(params, SPACE) != signature
                ):
                    wrong.append(params)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
