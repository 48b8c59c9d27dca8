"""Data that differ in any way have other fingerprints; equal content has one."""

from __future__ import annotations

import _random
import array
import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import io
import logging
import operator
import struct
import threading
import time
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fingerprint_cases import only

from optimizer.errors import FingerprintError
from optimizer.stores.fingerprint import fingerprint


class Shade(enum.IntEnum):
    DARK = 1


class Plain:
    def __init__(self, x: object) -> None:
        self.x = x

    def __getstate__(self) -> dict[str, object]:
        return {}  # leaves out what counts


class Slots:
    __slots__ = ("x",)

    def __init__(self, x: object) -> None:
        self.x = x


class Named(dict[str, int]):
    pass


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: object


class Odd(list[int]):
    def __iter__(self) -> Any:
        return iter(())  # leaves out what counts


class OddNumber(int):
    def __int__(self) -> int:
        return 0

    __index__ = __int__


class Copied:
    def __init__(self, x: object) -> None:
        self.x = x

    def __reduce__(self) -> Any:
        return Copied, (None,)


class Zone(datetime.tzinfo):
    def __init__(self, hours: int) -> None:
        self.hours = hours

    def utcoffset(self, when: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(hours=self.hours)

    def dst(self, when: datetime.datetime | None) -> None:
        return None

    def tzname(self, when: datetime.datetime | None) -> None:
        return None


class Flags(enum.Flag):
    A = 1
    B = 2


_TWOS = np.arange(12.0).reshape(3, 4)
DIFFERENT: list[Any] = [
    None,
    0,
    0.0,
    -0.0,
    False,
    "",
    "0",
    b"",
    bytearray(),
    (),
    [],
    {},
    set(),
    [[], []],
    [[[]]],
    ["ab", "c"],
    ["a", "bc"],
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    {1, 2},
    frozenset((1, 2, 3)),
    float("nan"),
    1j,
    range(3),
    2**100,
    Path("a"),
    Shade.DARK,
    Plain(1),
    Plain(2),
    Plain([Plain(2)]),
    Slots(1),
    Slots(2),
    Frozen(1),
    Frozen((1,)),
    Named(a=1),
    {"a": 1},
    collections.OrderedDict(a=1),
    collections.defaultdict(int, a=1),
    collections.defaultdict(float, a=1),
    collections.deque([1]),
    collections.deque([1], maxlen=1),
    collections.deque([1], maxlen=2),
    Odd((1,)),
    Odd((2,)),
    OddNumber(1),
    OddNumber(2),
    Copied(1),
    Copied(2),
    Flags(0),
    Flags.A,
    Flags.A | Flags.B,
    array.array("d", [1.0]),
    array.array("d", [2.0]),
    memoryview(b"1"),
    memoryview(b"2"),
    types.SimpleNamespace(x=1),
    types.SimpleNamespace(x=2),
    operator.itemgetter("a"),
    operator.itemgetter("b"),
    operator.methodcaller("a", 1),
    operator.methodcaller("a", 2),
    struct.Struct("<d"),
    struct.Struct("<f"),
    slice(1, np.int64(2)),
    slice(1, np.int64(3)),
    decimal.Context(prec=5),
    decimal.Context(prec=6),
    ValueError(1),
    ValueError(2),
    list[int],
    list[float],
    int | None,
    float | None,
    typing.Annotated[int, 1],
    typing.Annotated[int, 2],
    datetime.datetime(2020, 1, 1),
    datetime.datetime(2020, 1, 1, fold=1),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    time.struct_time((2020, 1, 1, 1, 1, 1, 1, 1, 0, "A", 1)),
    time.struct_time((2020, 1, 1, 1, 1, 1, 1, 1, 0, "B", 1)),
    types.MappingProxyType({"a": 1}),
    functools.partial(only, 1),
    functools.partial(only, 2),
    np.float64(0.0),
    np.float32(0.0),
    np.zeros(0),
    np.zeros(1),
    np.zeros((1, 1)),
    np.zeros(1, dtype=np.int64),
    np.zeros(1, dtype="datetime64[D]"),
    np.array(["a", None], dtype=object),
    np.array(["a", "b"]),
    np.zeros(2, dtype=[("x", "f8")]),
    np.zeros(2, dtype=np.dtype("f8", metadata={"unit": 1})),
    np.zeros(2, dtype=np.dtype("f8", metadata={"unit": 2})),
    _TWOS,
    _TWOS.T,
    _TWOS[::2],
    np.sqrt,
    np.exp,
    len,
    "x".join,
    "y".join,
]


def test_data_that_differ_never_agree() -> None:
    found: dict[bytes, Any] = {}
    for data in DIFFERENT:
        mark = fingerprint(only, data)
        assert mark not in found, (data, found[mark])
        found[mark] = data
    assert [fingerprint(only, data) for data in DIFFERENT] == list(found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_TWOS.T, np.ascontiguousarray(_TWOS.T)),
        (_TWOS[::2], _TWOS[::2].copy()),
        ({1, "a", 2.5}, {2.5, 1, "a"}),
        ({0, 8, 16}, {16, 8, 0}),  # they collide, so each comes in its own order
        ([[1], [1]], [[1]] * 2),
        (logging.getLogger("a"), logging.getLogger("b")),
        (Frozen(frozenset((Frozen(1), Frozen(2)))), Frozen(frozenset((Frozen(2), Frozen(1))))),
    ],
)
def test_equal_content_agrees(one: object, other: object) -> None:
    assert fingerprint(only, one) == fingerprint(only, other)


class Hides(_random.Random):
    """Its state is in C, and what it says about that is its own."""

    def __getstate__(self) -> None:
        return None


class HidesInATuple(tuple[int, ...]):
    lock = threading.Lock()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (Hides(1), "Hides"),
        ({"a": Hides(1)}, "Hides"),
        (HidesInATuple(), "'lock' is a _thread.lock"),
        (threading.local(), "_local"),
        (datetime.datetime(2020, 1, 1, tzinfo=Zone(1)), "Zone"),  # repr would tell where it lies
        (iter([1]), "list_iterator"),
        (io.StringIO("1"), "StringIO"),
    ],
)
def test_content_that_cannot_be_read_is_refused(data: Any, found: str) -> None:
    with pytest.raises(FingerprintError, match=found):
        fingerprint(only, data)


class Node:
    def __init__(self, x: int) -> None:
        self.x = x
        self.others: list[Node] = []
        self.all: set[Node] = set()


def ring(length: int, x: int) -> list[Node]:
    """Nodes each of which refers to all others."""
    found = [Node(i) for i in range(length)]
    for node in found:
        node.others = [other for other in found if other is not node]
        node.all = set(found)
    found[-1].x = x
    return found


def test_objects_that_refer_to_one_another_end() -> None:
    assert fingerprint(only, ring(12, 1)) == fingerprint(only, ring(12, 1))
    assert fingerprint(only, ring(12, 1)) != fingerprint(only, ring(12, 2))
    changed = ring(12, 1)
    changed[3].others.reverse()
    assert fingerprint(only, ring(12, 1)) != fingerprint(only, changed)


class Key:
    def __repr__(self) -> str:
        raise RuntimeError


def test_the_place_is_told_whatever_is_in_it() -> None:
    with pytest.raises(FingerprintError, match=r"the data\[<Key .*>\] is a _thread.lock"):
        fingerprint(only, {Key(): threading.Lock()})
    with pytest.raises(FingerprintError, match=r"the data\['x'\]\[1\] is a _thread.lock"):
        fingerprint(only, {"x": (1, threading.Lock())})
