"""Copies that share with the original only what nobody can change."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
from typing import Any

_ATOMS = frozenset({bool, int, float, str, type(None)})

_FOREVER = (
    *(bytes, complex, decimal.Decimal, fractions.Fraction, range, enum.Enum, pathlib.PurePath),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
)


def own_copy(value: Any) -> Any:
    """A value that shares nothing with the given one but what nobody can change.

    Dicts and lists are copied, at every depth; None, bool, int, float, str, bytes, dates, paths,
    enum members, and tuples, frozensets and frozen dataclasses of these are shared, but no frozen
    dataclass with a cached property, nor a subclass that is not frozen itself; all else goes
    through `copy.deepcopy`. A dict or list that is held twice is copied twice, so the value must
    be a tree, as parsed JSON and TOML are.

    Cost: a step for each value in dicts and lists.
    """
    kind = type(value)
    if kind is dict:
        return {
            key: item if type(item) in _ATOMS else own_copy(item) for key, item in value.items()
        }
    if kind is list:
        return [item if type(item) in _ATOMS else own_copy(item) for item in value]
    return value if is_unchanging(value) else copy.deepcopy(value)


def is_unchanging(value: Any) -> bool:
    """Whether nobody can change a value, nor anything it holds."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if isinstance(value, _FOREVER):  # a subclass in Python has room for more, unless it says not
        return isinstance(value, enum.Enum) or not hasattr(value, "__dict__")
    if kind in (tuple, frozenset) or (isinstance(value, tuple) and not hasattr(value, "__dict__")):
        return all(map(is_unchanging, value))
    if _is_frozen(kind):
        fields = dataclasses.fields(kind)
        extra = getattr(value, "__dict__", {}).keys() - {field.name for field in fields}
        return not extra and all(is_unchanging(getattr(value, field.name)) for field in fields)
    return False


def _is_frozen(kind: type[Any]) -> bool:
    """Whether it is a frozen dataclass itself, and its instances keep nothing but fields.

    A plain subclass of one takes any attribute, and a cached property is written past the guard.
    """
    own = vars(kind).get("__dataclass_params__")
    if own is None or not own.frozen:
        return False
    members = (member for base in kind.__mro__ for member in vars(base).values())
    return not any(isinstance(member, functools.cached_property) for member in members)
