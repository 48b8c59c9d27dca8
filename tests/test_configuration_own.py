"""A caller's configuration is the caller's own; what nobody can change is shared."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import functools
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.configuration import ConfigurationError, DefaultConfiguration, own_copy

LONG_AGO_S = 1_700_000_000  # a version that no later write can have


@dataclasses.dataclass(frozen=True)
class Costs:
    """Nobody can change one."""

    fee_rate: float = 0.0
    tiers: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Defaults:
    """Nobody can change one."""

    name: str
    costs: Costs = dataclasses.field(default_factory=Costs)


@dataclasses.dataclass
class Open:
    """Everybody can change one."""

    names: list[str] = dataclasses.field(default_factory=list)
    limits: dict[str, float] = dataclasses.field(default_factory=dict)
    rules: list[Costs] = dataclasses.field(default_factory=list)
    extra: Any = None


@dataclasses.dataclass(frozen=True)
class Computing:
    """Frozen, but it keeps what it computed, and that can be changed."""

    fee_rate: float = 0.0

    @functools.cached_property
    def table(self) -> list[float]:
        return [self.fee_rate]


@dataclasses.dataclass(frozen=True)
class Inheriting(Computing):
    """Frozen, with a cached property further up."""


class Loose(Costs):
    """A plain subclass of a frozen class takes any attribute."""


class Marked(bytes):
    """Bytes that take any attribute."""


class Side(enum.Enum):
    """A member is the same everywhere."""

    LONG = 1


def write(path: pathlib.Path, text: str, at_s: float | None = LONG_AGO_S) -> None:
    """Write it in place; unless None, as if at that time."""
    path.write_text(text, encoding="utf-8")
    if at_s is not None:
        os.utime(path, (at_s, at_s))


@pytest.fixture(name="path")
def _path(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "defaults.json"
    write(path, '{"a": [1, {"b": 2}]}')
    return path


def test_what_a_caller_changes_nobody_else_sees(path: pathlib.Path) -> None:
    held = DefaultConfiguration(path)
    mine = held.get()
    mine["a"][1]["b"] = 99
    mine["a"].append(3)
    mine.clear()
    assert held.get() == {"a": [1, {"b": 2}]}


def test_an_open_dataclass_is_copied_and_a_frozen_one_is_shared(path: pathlib.Path) -> None:
    write(path, '{"names": ["a"], "limits": {"x": 1}, "rules": [{"fee_rate": 1}], "extra": [[1]]}')
    held = DefaultConfiguration(path, Open)
    mine = held.get()
    assert mine == Open(["a"], {"x": 1.0}, [Costs(1.0)], [[1]])
    mine.names.append("b")
    mine.limits["y"] = 2.0
    mine.extra[0].append(2)
    assert held.get() == Open(["a"], {"x": 1.0}, [Costs(1.0)], [[1]])
    write(path, '{"name": "x", "costs": {"tiers": [1, 2]}}', LONG_AGO_S + 1)
    shared = DefaultConfiguration(path, Defaults)
    assert shared.get() is shared.get()


def test_a_frozen_dataclass_that_holds_a_list_is_copied(path: pathlib.Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Half:
        a: list[Any]

    held = DefaultConfiguration(path, Half)
    held.get().a.append(5)
    assert held.get() == Half([1, {"b": 2}])


@pytest.mark.parametrize("kind", [Computing, Inheriting])
def test_what_a_caller_changes_in_a_cached_property_nobody_else_sees(
    path: pathlib.Path, kind: type[Computing]
) -> None:
    write(path, '{"fee_rate": 0.5}')
    held = DefaultConfiguration(path, kind)
    held.get().table.append(9.0)
    assert held.get().table == [0.5]


@pytest.mark.parametrize("made", [Loose, functools.partial(Marked, b"x")], ids=["Loose", "Marked"])
def test_what_a_caller_sets_on_a_subclass_nobody_else_sees(
    path: pathlib.Path, made: Callable[[], Any]
) -> None:
    value = made()
    held = DefaultConfiguration(path, lambda table: value)
    held.get().note = [1]
    assert not hasattr(held.get(), "note")
    assert held.get() == value


def test_a_frozen_subclass_of_a_frozen_class_is_shared(path: pathlib.Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Closed(Loose):
        more: int = 1

    value = Closed()
    assert own_copy(value) is value


def test_what_cannot_be_copied_is_refused_when_it_is_read(path: pathlib.Path) -> None:
    held = DefaultConfiguration(path, lambda table: {"lock": threading.Lock()})
    with pytest.raises(ConfigurationError, match="found what its validation refuses, TypeError"):
        held.get()


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.just(Side.LONG),
    st.just(datetime.date(2024, 1, 2)),
    st.just(pathlib.Path("a")),
    st.builds(Costs),
    st.builds(lambda: bytearray(b"x")),
    st.builds(lambda: Costs(0.0, [1])),  # type: ignore[arg-type]  # a list where a tuple belongs
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.tuples(inner, inner),
        st.builds(Open, extra=inner),
    ),
    max_leaves=10,
)


@given(trees)
def test_a_copy_is_equal_and_shares_nothing_that_can_change(tree: Any) -> None:
    comp = own_copy(tree)
    assert comp == tree == copy.deepcopy(tree)
    assert not {*map(id, changing(comp))} & {*map(id, changing(tree))}


def changing(value: Any) -> Iterator[Any]:
    """Everything in a tree that somebody could change."""
    if isinstance(value, (list, dict, bytearray, Open)):
        yield value
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    elif isinstance(value, (Costs, Open)):
        inner = vars(value).values()
    for one in inner:
        yield from changing(one)


def test_what_nobody_can_change_is_shared() -> None:
    for value in ("text" * 99, 10**99, (1, ("a", None)), frozenset({1}), Side.LONG, Costs()):
        assert own_copy(value) is value
    mapping = [1]
    frozen = MappingProxyType({"a": mapping})
    with pytest.raises(TypeError):
        own_copy(frozen)
    marked = Costs()
    object.__setattr__(marked, "note", [1])
    assert own_copy(marked) is not marked
