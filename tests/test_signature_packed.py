"""A cache keeps packed values: what is packed alike, what counts as seen, what is not kept."""

from __future__ import annotations

import enum
import struct
import sys
from collections import OrderedDict, defaultdict
from marshal import dumps, loads
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optimizer.caching import CacheCounters
from optimizer.errors import SignatureError
from optimizer.protocols import Params
from optimizer.reference import signature as reference
from optimizer.signature import _MARSHAL_VERSION as VERSION
from optimizer.signature import SignatureCache, param_signature

NAN_OF_A_SIGN = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]

texts = st.one_of(
    st.text(st.characters(), max_size=4),  # lone surrogates too
    st.sampled_from(
        ["", "a", "1", "True", "\ud83d\ude00", "\U0001f600", "\ud800", "\x00", "i\0\0"]
    ),
)
kept = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, 2**31, 2**31 - 1, -(2**31)]),
    st.sampled_from([2.0**53, 2**53, 2**53 + 1, 2**64, 10**400, NAN_OF_A_SIGN]),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    texts,
)


def exact(value: Any) -> tuple[str, Any]:
    """Equal exactly where two values are of one type and cannot be told apart."""
    return type(value).__name__, struct.pack("<d", value) if type(value) is float else value


def anew(value: Any) -> Any:
    """An equal value, as another object where there can be one."""
    if type(value) is str:
        return "".join(list(value))
    if type(value) is float:
        return struct.unpack("<d", struct.pack("<d", value))[0]
    return int(hex(value), 16) if type(value) is int else value


def pack(values: tuple[Any, ...]) -> bytes:
    return dumps(values, VERSION)


# --- the packed values


@given(st.lists(kept, max_size=6), st.lists(kept, max_size=6))
@example([1, 1], [1])
@example(["i\0\0\0\0"], ["i", 0])
def test_values_are_packed_alike_exactly_if_they_cannot_be_told_apart(
    one: list[Any], other: list[Any]
) -> None:
    same = [*map(exact, one)] == [*map(exact, other)]
    assert (pack((*one,)) == pack((*other,))) is same


@given(st.lists(kept, max_size=4))
def test_other_objects_of_the_same_values_are_packed_alike(values: list[Any]) -> None:
    """Whether a value is held twice, interned, or nobody else's."""
    twice = (*values, *values)
    comp = pack(twice)
    assert comp == pack((*map(anew, twice),))
    assert comp == pack(tuple(sys.intern(v) if type(v) is str else v for v in twice))
    assert [*map(exact, loads(comp))] == [*map(exact, twice)]


# --- what is not kept is never taken for what is


class Liar(int):
    """An int that is equal to everything, and hashes as 1."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class Shout(str):
    """A str that is equal to its lower case."""

    def __eq__(self, other: object) -> bool:
        return self.lower() == other

    def __hash__(self) -> int:
        return hash(self.lower())


class Twice(float):
    """A float that says it is another."""

    def __float__(self) -> float:
        return 2.0 * super().__float__()


class Level(enum.IntEnum):
    ONE = 1


EIGHT = struct.pack("<d", 1.5)
ALIKE: list[Any] = [
    # all of these have the same memory
    *(np.float64(1.5), np.frombuffer(EIGHT, np.int64)[0], np.frombuffer(EIGHT, np.uint64)[0]),
    *(
        np.frombuffer(EIGHT, "M8[s]")[0],
        np.frombuffer(EIGHT, "S8")[0],
        np.frombuffer(EIGHT, "V8")[0],
    ),
    *(EIGHT, bytearray(EIGHT), memoryview(EIGHT), np.array([1.5]), np.array(1.5)),
]
OTHERS: list[Any] = [
    *(Liar(2), Liar(3), Shout("A"), Shout("B"), Twice(1.0), Level.ONE, 1j, ..., StopIteration, b""),
    *((), (1,), (True,), (1.0,), frozenset({1}), frozenset({True}), {1}, slice(1)),
    *(np.bool_(True), np.int8(1), np.str_("a"), np.float32(1.5), np.arange(6)[::2], object()),
    *([], [1], [True], {}, {"a": 1}, {"a": True}),
]  # fmt: skip


def outcome(sign: Any, params: Params) -> Any:
    """The signature, or what the refusal says."""
    try:
        return sign(params)
    except SignatureError as error:
        return str(error)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_what_is_not_kept_is_never_taken_for_what_is(count: int) -> None:
    rest = {f"q{i}": i for i in range(count - 1)}
    cache = SignatureCache()
    seen = [1, True, 1.0, 1.5, "a", "b", 2, 3, 2.0, None, EIGHT.decode("latin-1"), "\x01"]
    for value in (*seen, *ALIKE, *OTHERS, *reversed(ALIKE), *reversed(OTHERS), *seen):
        params = {"p": value, **rest}
        assert outcome(cache.signature, params) == outcome(param_signature, params)
    assert cache.counters() == CacheCounters(hits=len(seen), misses=len(seen))
    assert len(cache) == len(seen)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "c", "\ud800"]),
            st.one_of(kept, st.sampled_from(range(len(ALIKE) + len(OTHERS))).map(
                lambda i: [*ALIKE, *OTHERS][i])),
            max_size=3,
        ),
        max_size=12,
    ),
    st.integers(1, 6),
)  # fmt: skip
def test_a_cache_answers_as_without_one(sets: list[dict[str, Any]], maxsize: int) -> None:
    cache = SignatureCache(maxsize)
    for params in sets * 2:
        assert outcome(cache.signature, params) == outcome(param_signature, params)
    cache.check()


# --- what counts as seen

small = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.sampled_from([0, 1, 1.0, True, "1", None]), min_size=1
)


class Model:
    """The counters and the order of use of a cache, written plainly."""

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.used: OrderedDict[frozenset[Any], None] = OrderedDict()
        self.hits = self.misses = 0

    def sign(self, params: Params) -> None:
        key = frozenset((name, *exact(value)) for name, value in params.items())
        hit = key in self.used
        self.hits, self.misses = self.hits + hit, self.misses + (not hit)
        self.used[key] = None
        self.used.move_to_end(key)
        if len(self.used) > self.maxsize:
            self.used.popitem(last=False)

    @property
    def counters(self) -> CacheCounters:
        return CacheCounters(self.hits, self.misses, self.misses - len(self.used))


def compare_with_the_model(sets: list[dict[str, Any]], maxsize: int) -> None:
    cache, model = SignatureCache(maxsize), Model(maxsize)
    for params in sets:
        assert cache.signature(params) == reference.param_signature(params)
        model.sign(params)
        assert cache.counters() == model.counters
        assert len(cache) == len(model.used)
    cache.check()


@settings(max_examples=50)
@given(st.lists(small, max_size=30), st.integers(1, 8))
def test_a_cache_counts_and_forgets_as_a_plain_one(sets: list[dict[str, Any]], size: int) -> None:
    compare_with_the_model(sets, size)


@pytest.mark.stress
@settings(max_examples=1_000, deadline=None)
@given(st.lists(small, max_size=60), st.integers(1, 20))
def test_a_cache_counts_and_forgets_as_a_plain_one_on_many(
    sets: list[dict[str, Any]], size: int
) -> None:
    compare_with_the_model(sets, size)


class Defaults(dict[str, Any]):
    """A mapping that has every name."""

    def __missing__(self, name: str) -> int:
        return 7


@pytest.mark.parametrize("make", [OrderedDict, MappingProxyType, Defaults, dict])
def test_a_mapping_of_any_kind_is_its_names_and_values(make: Any) -> None:
    cache = SignatureCache()
    cache.signature({"a": 1, "b": 7})
    assert cache.signature(make({"b": 7, "a": 1})) == param_signature({"a": 1, "b": 7})
    assert cache.counters() == CacheCounters(hits=1, misses=1)
    assert cache.signature(make({"a": 1, "c": 7})) == param_signature({"a": 1, "c": 7})
    assert cache.signature(make({"a": 1})) == param_signature({"a": 1})
    assert cache.counters() == CacheCounters(hits=1, misses=3)


def test_a_mapping_that_makes_names_gets_none() -> None:
    cache = SignatureCache()
    cache.signature({"a": 1, "b": 0})
    params: defaultdict[str, int] = defaultdict(int, a=1, c=0)
    assert cache.signature(params) == param_signature({"a": 1, "c": 0})
    assert list(params) == ["a", "c"]


def test_what_is_no_mapping_is_refused_as_without_a_cache() -> None:
    for wrong in (None, 1, [("a", 1)], "ab"):
        for sign in (param_signature, SignatureCache().signature):
            with pytest.raises((TypeError, AttributeError)):
                sign(wrong)  # type: ignore[arg-type]  # the mistake that is tested


def test_a_set_in_which_a_list_was_replaced_is_kept() -> None:
    """The garbage collector tracks such a dict for good."""
    cache, params = SignatureCache(), {"a": 1, "b": [1]}
    assert cache.signature(params) == param_signature(params)
    params["b"] = 2
    for _ in range(2):
        assert cache.signature(params) == param_signature({"a": 1, "b": 2})
    assert cache.counters() == CacheCounters(hits=1, misses=1)


def test_names_met_before_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are the only ones of their count, or not, or in another order."""
    cache = SignatureCache()
    sets = [
        {"a": 1, "b": 2},
        {"a": 1},
        {"a": 1, "c": 2},
        {"c": 2, "a": 1},
        {"a": 1, "b": 2, "c": 3},
    ]
    for params in [*sets, *sets]:  # the last two are told apart from the third only then
        cache.signature(params)
    monkeypatch.setattr(
        SignatureCache, "_sign_other", lambda cache, params: pytest.fail("not found")
    )
    for params in [*sets, {"c": 3, "a": 1, "b": 2}]:
        assert cache.signature(params) == param_signature(params)
    assert cache.counters() == CacheCounters(hits=12, misses=4)
    cache.check()
