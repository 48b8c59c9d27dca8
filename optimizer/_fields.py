"""A dataclass built from a parsed table: names and simple types are checked, nothing is guessed."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


class FieldError(ValueError):
    """A table that is not the dataclass; the message names the field."""


def build(cls: Any, table: Mapping[str, Any], where: str = "") -> Any:
    """An instance of a dataclass from names and values.

    Types that are understood: Any, every class whose instances the file can hold (bool, int,
    float, str, None, dict, list, dates), `X | Y`, Literal, `list[X]`, `tuple[X, ...]`,
    `tuple[X, Y]`, `dict[str, X]`, dataclasses. An int stands for a float, a list for a tuple;
    nothing else is converted. Beyond that, hand in a callable.

    Raises:
        FieldError: an unknown or missing name, or a value of another type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for name in table:
        if name not in fields:
            raise FieldError(
                f"found the name {_shown(where + name)}, expected one of {', '.join(fields)}"
            )
    for name, field in fields.items():
        optional = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
        if name not in table and not optional:
            raise FieldError(f"found no {_shown(where + name)}, expected one; add it")
    hints = get_type_hints(cls)
    return cls(**{name: _read(hints[name], table[name], where + name) for name in table})


def _read(hint: Any, value: Any, where: str) -> Any:
    """The value as a field of this type has it."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or (origin is None and type(value) is hint):
        return value
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return build(hint, value, f"{where}.")
    if origin in (Union, types.UnionType):
        return _read_any(hint, inner, value, where)
    if origin is Literal and any(type(value) is type(one) and value == one for one in inner):
        return value
    if origin is list and isinstance(value, list):
        return [_read(inner[0], item, f"{where}[{k}]") for k, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {name: _read(inner[1], item, f"{where}.{name}") for name, item in value.items()}
    if origin is tuple and isinstance(value, list):
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(kinds) == len(value):
            parts = enumerate(zip(kinds, value, strict=True))
            return tuple(_read(kind, item, f"{where}[{k}]") for k, (kind, item) in parts)
    if hint is tuple and isinstance(value, list):
        return tuple(value)
    raise _refused(hint, value, where)


def _read_any(hint: Any, kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if type(value) in kinds:
        return value
    for kind in kinds:
        try:
            return _read(kind, value, where)
        except FieldError as error:
            # Of several tables only one can be meant: its own complaint says more.
            if isinstance(value, (dict, list)) and len(kinds) - (type(None) in kinds) == 1:
                raise error from None
    raise _refused(hint, value, where)


def _refused(hint: Any, value: Any, where: str) -> FieldError:
    expected = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return FieldError(
        f"found {_shown(value)} of type {type(value).__name__} for {_shown(where)}, expected "
        f"{expected}"
    )


def _shown(value: object) -> str:
    try:
        return ascii(value)[:80]
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return "a number too long to write out"
