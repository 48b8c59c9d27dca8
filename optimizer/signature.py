"""Canonical parameters -> 16 bytes, equal exactly if two parameter sets are the same point."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from gc import is_tracked
from marshal import dumps, loads
from operator import itemgetter
from typing import Any

from optimizer._canonical import (
    BLANK,
    MAX_DEPTH,
    MAX_VALUES,
    SIGNATURE_BYTES,
    choice_text,
    grid_code,
    sign,
)
from optimizer._parameters import ATOMS, CategoricalParameter, FloatParameter, Parameter
from optimizer.caching import CacheCounters
from optimizer.errors import CacheError, SignatureError
from optimizer.protocols import Params, Signature
from optimizer.space import SearchSpace

__all__ = ["MAX_DEPTH", "MAX_VALUES", "SIGNATURE_BYTES", "SignatureCache", "param_signature"]

MAX_SHAPES = 1_000
"""Shapes (names and types) prepared at once per space; beyond, all are forgotten."""

_Shape = Callable[[Params], Signature | None]
_SHAPES: dict[tuple[object, ...], _Shape] = {}

_CODES: dict[type, bytes] = {float: b"d", int: b"d", bool: b"b", str: b"s", type(None): b"n"}
_NEGATIVE_ZERO = struct.pack("<d", -0.0)


def param_signature(params: Params, space: SearchSpace | None = None) -> Signature:
    """The signature of a parameter set.

    Promises: the same bytes in every process, on every platform and Python version, with or
    without optional packages; key order is irrelevant. Thread-safe.

    Without a space, int and float of equal value agree (1 and 1.0), True is neither 1 nor "True",
    -0.0 is 0.0, lists and tuples agree, numpy scalars count by value, and integers of any size
    are exact. With one, two things differ: a float with a step goes by its step index (0.1 + 0.2
    and 0.3 agree for step 0.1), and a categorical goes by its choice, the one of the very type
    first. A value off the grid or range or not among the choices, and a name that the space lacks,
    are signed by value, distinct from any index or choice: Optuna lets such values be enqueued. A
    name of the space that is missing is fine: conditional spaces leave parameters out.

    Cost: linear in the parameters; flat sets of built-in types without a space take a short cut,
    the first of each shape (names and types) prepares it.

    Args:
        params: name -> None, bool, int, float, str, a numpy scalar of these, or a list, tuple or
            mapping of them.
        space: the search space the parameters belong to, if known.

    Returns:
        16 bytes.

    Raises:
        SignatureError: no parameters, NaN or an infinity, a name that is no string, a lone
            surrogate, another type, nesting beyond `MAX_DEPTH` or more than `MAX_VALUES` values.

    Example:
        >>> param_signature({"a": 1, "b": "x"}) == param_signature({"b": "x", "a": 1.0})
        True
    """
    shapes = _SHAPES if space is None else space.shapes
    kinds = (*params, *map(type, params.values()))
    shape = shapes.get(kinds) or _prepare(shapes, kinds, params, space)
    return shape(params) or sign(params, space)


# --- the short cut: flat parameters of built-in types, prepared by their names and types


def _prepare(
    shapes: dict[tuple[object, ...], _Shape],
    kinds: tuple[object, ...],
    params: Params,
    space: SearchSpace | None,
) -> _Shape:
    usable = ATOMS.issuperset(map(type, params.values())) and {*map(type, params)} == {str}
    try:
        shape = (
            _make_shape({name: type(params[name]) for name in params}, space) if usable else None
        )
    except UnicodeEncodeError:  # in a name; the general way names the place
        shape = None
    if shape is None:
        return _no_shape
    if len(shapes) >= MAX_SHAPES:
        shapes.clear()
    shapes[kinds] = shape
    return shape


def _no_shape(params: Params) -> None:
    return None


def _make_shape(kinds: dict[str, type], space: SearchSpace | None) -> _Shape:
    """A function that signs parameters of these names and types, or gives up with None.

    It gives up on a number that is not finite or not exactly a double, on a lone surrogate, and on
    a value off its grid or choices: the general way writes that out, or names the place.
    """
    parameters: Mapping[str, Parameter] = {} if space is None else space
    parts = {name: _part(kinds[name], parameters.get(name)) for name in sorted(kinds)}
    codes = b"".join(b",%b\xff%b" % (name.encode(), part[0]) for name, part in parts.items())
    started = BLANK.copy()
    started.update(b"{%b}" % codes)
    numbers_of = _picker({name: find for name, (code, find) in parts.items() if code[0] in b"dbg"})
    texts_of = _picker({name: find for name, (code, find) in parts.items() if code[0] in b"sc"})
    doubles = struct.Struct(f"<{sum(code[0] in b'dbg' for code, _ in parts.values())}d")
    pack, unpack = doubles.pack, doubles.unpack

    def shape(params: Params) -> Signature | None:
        try:
            numbers = numbers_of(params)
            packed = pack(*numbers)
            # Python compares int and float exactly, and NaN with nothing.
            if unpack(packed) != numbers or not math.isfinite(sum(numbers)):
                return None
            if _NEGATIVE_ZERO in packed:
                packed = pack(*[number + 0.0 for number in numbers])
            texts = b"\xff".join([text.encode() for text in texts_of(params)])
        except (struct.error, OverflowError, UnicodeEncodeError, _OffGrid):
            return None
        state = started.copy()
        state.update(packed + texts)
        return state.digest()

    return shape


_Find = Callable[[Any], Any]


class _OffGrid(Exception):
    """A value is not on its grid, or not among its choices."""


def _part(kind: type, parameter: Parameter | None) -> tuple[bytes, _Find | None]:
    """The code of a value of this type, and what turns the value into its number or text."""
    if (
        isinstance(parameter, FloatParameter)
        and parameter.step is not None
        and kind in (int, float)
    ):
        return grid_code(parameter), _index_finder(parameter)
    if isinstance(parameter, CategoricalParameter):
        return b"c", _choice_finder(parameter)
    return _CODES[kind], None


def _index_finder(parameter: FloatParameter) -> _Find:
    find_index = parameter.find_index

    def find(value: Any) -> int:
        index = find_index(value)
        if index is None:
            raise _OffGrid
        return index

    return find


def _choice_finder(parameter: CategoricalParameter) -> _Find:
    texts = {
        (type(choice), choice): choice_text(parameter, place)
        for place, choice in enumerate(parameter.choices)
    }

    def find(value: Any) -> str:
        text = texts.get((type(value), value))
        if text is None:
            raise _OffGrid
        return text

    return find


def _picker(finders: dict[str, _Find | None]) -> Callable[[Params], tuple[Any, ...]]:
    """What picks the numbers, or the texts, of these names; always a tuple."""
    if len(finders) > 1 and not any(finders.values()):
        return itemgetter(*finders)  # of one name it would return no tuple
    entries = list(finders.items())
    return lambda params: tuple(
        [params[name] if find is None else find(params[name]) for name, find in entries]
    )


# --- remembered signatures

# The last version in which equal values are equal bytes: later ones write a value that is held
# twice, or interned, in another way. Of the types that are kept, different values are different
# bytes, and no other value has those: what lets its memory be read is written as `bytes` are.
_MARSHAL_VERSION = 2


class _Names:
    """The names of a parameter set, in any order, and what picks their values in one."""

    __slots__ = ("count", "names", "pick")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.count = len(names)
        self.pick = itemgetter(*names)  # of one name, its value alone

    def params(self, packed: bytes) -> dict[str, Any]:
        """The set again, from its packed values."""
        values = loads(packed)
        return dict(zip(self.names, values if self.count > 1 else (values,), strict=True))


class _Unkept(Exception):
    """A set that the cache does not keep."""


class SignatureCache:
    """Remembers the signatures of parameter sets seen lately; the same bytes as `param_signature`.

    Promises: thread-safe, and usable on both sides of a fork. Of more than `maxsize` sets the one
    used longest ago is forgotten. Key order is irrelevant. Sets in which a value is no None, bool,
    int, float or str are signed afresh, and neither they nor refused sets are counted.

    It pays where most sets come again: a hit costs a fraction of a signature, but a miss costs more
    than a signature without a cache. Nothing in this package uses one by itself, since a trial is
    signed once, and most do not repeat.

    Memory: each entry keeps the set's values as bytes, not its names: 9 for a float, 5 for a 32-bit
    integer and 13 for one of up to 60 bits, 5 and its UTF-8 for a text, 1 for True, False and None.
    5,000 entries of up to ten of these, with texts of up to 8 bytes, take less than 2 MB.
    """

    def __init__(self, maxsize: int = 5_000, space: SearchSpace | None = None) -> None:
        """Make an empty cache.

        Args:
            maxsize: entries held at most, at least 1.
            space: the search space the parameters belong to, if known.

        Raises:
            CacheError: maxsize is not a positive integer.
        """
        if isinstance(maxsize, bool) or not isinstance(maxsize, int) or maxsize < 1:
            raise CacheError(f"found maxsize {maxsize!r}, expected an integer of at least 1")

        shapes = _SHAPES if space is None else space.shapes

        @lru_cache(maxsize)
        def remember(names: _Names, packed: bytes) -> Signature:
            params = names.params(packed)
            key = (*params, *map(type, params.values()))
            shape = shapes.get(key)
            if shape is None:
                if not ATOMS.issuperset(map(type, params.values())):
                    raise _Unkept  # others may be packed alike, and differ
                shape = _prepare(shapes, key, params, space)
            return shape(params) or sign(params, space)

        # Keeps nothing; it counts, and in C, as `remember` does: no thread is missed.
        self._afresh = lru_cache(0)(lambda params: param_signature(params, space))
        self._remember = remember
        self._names: dict[tuple[str, ...], _Names] = {}
        self._of_any_order: dict[frozenset[str], _Names] = {}
        self._of_count: dict[int, _Names | None] = {}  # None where several have the same count

    def signature(self, params: Params) -> Signature:
        """The signature; one look-up in the cache, and on a miss `param_signature`.

        Raises:
            SignatureError: as `param_signature` does; nothing is remembered then.
        """
        if type(params) is not dict:
            return self.signature({**params})
        # What the garbage collector does not track holds no list or mapping: only a set that it
        # tracks need be looked through for one, which could take forever to pack.
        if is_tracked(params) and not ATOMS.issuperset(map(type, params.values())):
            return self._sign_other(params)
        try:
            names = self._of_count[len(params)] or self._names[(*params,)]
            packed = dumps(names.pick(params), _MARSHAL_VERSION)
        except (KeyError, ValueError):  # names not met before; what cannot be packed
            pass
        else:
            try:
                return self._remember(names, packed)
            except (_Unkept, SignatureError):
                afresh: Callable[..., Signature] = self._afresh
            return afresh(params)
        return self._sign_other(params)

    def _sign_other(self, params: Params) -> Signature:
        """The same of a set with names not met before, or of one that is not kept."""
        afresh: Callable[..., Signature] = self._afresh.__wrapped__  # `remember` counted nothing
        if params and ATOMS.issuperset(map(type, params.values())):
            names = self._names.get((*params,)) or self._new_names((*params,))
            if self._of_count.setdefault(len(params), names) is not names:
                self._of_count[len(params)] = None
            packed = dumps(names.pick(params), _MARSHAL_VERSION)
            try:
                return self._remember(names, packed)
            except SignatureError:
                afresh = self._afresh
        return afresh(params)

    def counters(self) -> CacheCounters:
        """Hits, misses and evictions since the cache was made or cleared.

        Evictions are the misses that it does not hold any more: where threads sign the same set at
        the same moment, all but one of these count as such.
        """
        found = self._remember.cache_info()
        misses = max(0, found.misses - self._afresh.cache_info().misses)
        return CacheCounters(found.hits, misses, max(0, misses - found.currsize))

    def clear(self) -> None:
        """Forget every signature, and count from zero."""
        self._remember.cache_clear()
        self._afresh.cache_clear()

    def check(self) -> None:
        """Verify the invariants of the cache; raises CacheError where one is broken."""
        found = self._remember.cache_info()
        if found.maxsize is None or found.currsize > found.maxsize:
            raise CacheError(f"found {found.currsize} entries, expected {found.maxsize} at most")
        for names, kept in list(self._names.items()):
            if len(names) != kept.count or {*names} != {*kept.names}:
                raise CacheError(f"found the names {kept.names} under {names}")
        for count, one in list(self._of_count.items()):
            if one is not None and one.count != count:
                raise CacheError(f"found {one.count} names as those of sets of {count}")

    def __len__(self) -> int:
        return self._remember.cache_info().currsize

    def _new_names(self, names: tuple[str, ...]) -> _Names:
        if len(self._names) >= MAX_SHAPES:
            self._names.clear()  # what is remembered under them is found no more, and makes room
            self._of_any_order.clear()
            self._of_count.clear()
        new = self._of_any_order.setdefault(frozenset(names), _Names(names))
        return self._names.setdefault(names, new)
