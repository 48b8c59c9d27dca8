"""Feeds an object, and all that it can reach, into a hash.

Each kind of object writes a tag, then its parts, with lengths before whatever varies in length: two
objects feed the same bytes only if they are alike. Functions, classes and modules get a number when
they are first met, and are fed one after the other when all else is done, so neither circles nor
long chains of calls matter. Containers and instances count by their content alone, since whether
two equal ones are one object differs from process to process. In a circle of them the one around is
"so many levels up"; a part of it that was fed already has a number, or the ways through it would be
countless.
"""

from __future__ import annotations

import collections
import enum
import hashlib
import operator
import struct
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from optimizer.stores import (
    _fingerprint_arrays,
    _fingerprint_classes,
    _fingerprint_functions,
    _fingerprint_modules,
    _fingerprint_sources,
    _fingerprint_values,
)
from optimizer.stores._fingerprint_place import Feed, Walker, Where, refusal

MAX_DEPTH = 200
MAX_WORK = 100_000  # containers looked at to find an order among those in sets within an element


class Hash(Protocol):
    """What a walk writes to."""

    def update(self, data: Any, /) -> None:
        """Take more bytes."""


class Walk:
    """Visits objects, in order, and feeds them into one hash; `finish` feeds what they use."""

    _sets = 0  # how many sets are around this walk, which then is a sketch

    def __init__(self, sink: Hash) -> None:
        self._sink = sink
        self._numbers: dict[
            int | str, int
        ] = {}  # id of a function, class, module; name of a source
        self._versions: dict[str, str] = {}  # of sources that have one
        self._waiting: collections.deque[tuple[int, Any, Where, Feed]] = collections.deque()
        self._asked: collections.deque[tuple[types.ModuleType, frozenset[str], Where]]
        self._asked = collections.deque()
        self._keys: set[object] = set()
        self._kept: list[Any] = []  # alive as long as the ids count
        self._around: dict[int, int] = {}  # id of each container around this place -> its level
        self._known: dict[int, bytes] = {}  # id of a container done -> its content
        self._entangled: dict[int, int] = {}  # id of a part of a circle that was fed -> its number
        self._lowest = 0  # the lowest level that the container around this place contains
        self._entered = 0

    def visit(self, value: Any, where: Where) -> None:
        """Feed one object.

        Raises
        ------
        FingerprintError
            It, or something in it, has no content that could be read; the message says where.
        """
        kind = type(value)
        atom = _ATOMS.get(kind)
        if atom is not None:
            self.leaf(kind.__name__, atom(value))
        elif kind in _CONTAINERS:
            self._within(value, where, _CONTAINERS[kind])
        elif kind is types.CodeType:
            _fingerprint_functions.feed_code(self, value, where)
        elif kind is types.FunctionType:
            self._once(value, where, _fingerprint_functions.feed)
        elif issubclass(kind, types.ModuleType):
            self._once(value, where, _fingerprint_sources.feed_module)
        elif issubclass(kind, type):
            self._once(value, where, _fingerprint_classes.feed)
        elif issubclass(kind, enum.Enum):
            self._once(value, where, _fingerprint_classes.feed_member)
        elif _fingerprint_arrays.feeds(value):
            self._within(value, where, _fingerprint_arrays.feed)
        else:
            self._within(value, where, _fingerprint_values.feed)

    def finish(self) -> None:
        """Feed the functions, classes and modules met so far, and all that they reach."""
        while self._waiting or self._asked:
            while self._waiting:
                number, value, where, feed = self._waiting.popleft()
                self.leaf("number", str(number))
                feed(self, value, where)
            if self._asked:
                _fingerprint_functions.feed_held(self, *self._asked.popleft())

    # --- what those who feed one kind of object use (Walker)

    def leaf(self, tag: str, content: bytes | str) -> None:
        """Feed bytes of a kind, with their length."""
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogatepass")
        self._sink.update(f"{len(tag)}:{tag}{len(content)}:".encode())
        self._sink.update(content)

    def raw(self, content: Any) -> None:
        """Feed bytes whose number is known from what was fed before."""
        self._sink.update(content)

    def parts(self, tag: str, values: Iterable[tuple[Any, Where]]) -> None:
        """Feed how many objects there are, and each of them."""
        listed = list(values)
        self.leaf(tag, str(len(listed)))
        for value, where in listed:
            self.visit(value, where)

    def ordered(self, values: Iterable[Any], where: Where) -> list[Any]:
        """The elements of a set, in an order that does not depend on the process."""
        if self._sets > 1:  # in a set in a set: what is plain, and how many there are of the rest
            return sorted(self._met(value) or _mark(value) for value in values)
        marked = [(self._met(value) or self.outline(value, where), value) for value in values]
        return [value for _, value in sorted(marked, key=operator.itemgetter(0))]

    def _met(self, value: Any) -> bytes | None:
        """What tells an object from all others, if it was met before."""
        if type(value) in _ATOMS:
            return None
        key = id(value)
        if (content := self._known.get(key)) is not None:
            return b"within " + content
        tables: dict[str, Mapping[Any, int]]
        tables = {"around": self._around, "entangled": self._entangled, "known": self._numbers}
        for tag, table in tables.items():
            if key in table:
                return f"{tag} {table[key]}".encode()
        return None

    def outline(self, value: Any, where: Where) -> bytes:
        """The content of an object, as far as it goes without following names."""
        return _mark(value) if type(value) in _ATOMS else Sketch(self).of(value, where)

    def source(self, name: str, where: Where) -> None:
        """Feed what stands for the code of a module, which is not imported for it."""
        version = self._versions.get(name)
        if version is not None:
            self.leaf("version", version)
        elif (known := self._numbers.get(name)) is not None:  # one without a version
            self.leaf("known", str(known))
        elif (version := _fingerprint_modules.version_of(name)) is not None:
            self._versions[name] = version
            self.leaf("version", version)
        else:
            self._wait(name, name, where, _fingerprint_sources.feed_named)

    def ask(self, module: types.ModuleType, names: frozenset[str], where: Where) -> None:
        """Feed, when all imports are done, what the module holds under these names."""
        if self.first((id(module), names)):
            self._kept.append(module)
            self._asked.append((module, names, where))

    def first(self, key: object) -> bool:
        """Whether this is the first time that somebody asks with this key."""
        known = key in self._keys
        self._keys.add(key)
        return not known

    # ---

    def _once(self, value: Any, where: Where, feed: Feed) -> None:
        known = self._numbers.get(id(value))
        if known is not None:
            self.leaf("known", str(known))
        else:
            self._kept.append(value)
            self._wait(id(value), value, where, feed)

    def _wait(self, key: int | str, value: Any, where: Where, feed: Feed) -> None:
        number = self._numbers[key] = len(self._numbers)
        self._waiting.append((number, value, where, feed))
        self.leaf("known", str(number))

    def _within(self, value: Any, where: Where, feed: Feed) -> None:
        """A container or instance: the hash of its content, which is made once if it can be."""
        key = id(value)
        if (content := self._known.get(key)) is not None:
            self.leaf("within", content)
        elif (level := self._around.get(key)) is not None:
            self._lowest = min(self._lowest, level)
            self.leaf("around", str(len(self._around) - level))
        elif (number := self._entangled.get(key)) is not None:
            self.leaf("entangled", str(number))
        else:
            self.leaf("within", self._content(value, where, feed))

    def _content(self, value: Any, where: Where, feed: Feed) -> bytes:
        level = len(self._around)
        if level >= MAX_DEPTH:
            raise refusal(where, f"nested deeper than {MAX_DEPTH} levels")
        outer, lowest, entered = self._sink, self._lowest, self._entered
        digest = hashlib.blake2b(digest_size=32)
        self._sink, self._lowest = digest, level
        self._around[id(value)] = level
        feed(self, value, where)
        del self._around[id(value)]
        if self._lowest < level:  # what it is depends on what is around it
            self._entangled[id(value)] = len(self._entangled)
            self._kept.append(value)
        elif self._entered > entered:  # those without containers are as soon done again
            self._known[id(value)] = digest.digest()
            self._kept.append(value)
        self._sink, self._lowest = outer, min(lowest, self._lowest)
        self._entered += 1
        return digest.digest()


class Sketch(Walk):
    """A hash of one object that follows no names: for an order among those that have none."""

    def __init__(self, walk: Walk) -> None:
        self._digest = hashlib.blake2b(digest_size=32)
        super().__init__(self._digest)
        self._around = walk._around
        self._sets = walk._sets + 1
        self._work: list[int] = walk._work if isinstance(walk, Sketch) else [0]

    def of(self, value: Any, where: Where) -> bytes:
        """The hash; two that are alike here have any order between them."""
        self.visit(value, where)
        return self._digest.digest()

    def _content(self, value: Any, where: Where, feed: Feed) -> bytes:
        self._work[0] += self._sets > 1
        if self._work[0] > MAX_WORK:
            raise refusal(where, "in sets of objects that refer to one another on too many ways")
        return super()._content(value, where, feed)

    def source(self, name: str, where: Where) -> None:
        """Its name."""
        self.leaf("source", name)

    def _once(self, value: Any, where: Where, feed: Feed) -> None:
        if isinstance(value, types.FunctionType):
            self._within(value, where, _fingerprint_functions.outline)
        elif isinstance(value, enum.Enum):
            self.leaf(type(value).__qualname__, str(value._name_))
        else:
            self.leaf(type(value).__name__, getattr(value, "__qualname__", value.__name__))


def _mark(value: Any) -> bytes:
    """A plain value, or no more than the kind of another."""
    kind = type(value)
    return kind.__qualname__.encode() + b" " + (_ATOMS[kind](value) if kind in _ATOMS else b"")


def _sequence(walk: Walker, values: Any, where: Where) -> None:
    walk.leaf(type(values).__name__, str(len(values)))
    for i, value in enumerate(values):
        walk.visit(value, (where, "[{}]", i))


def _deque(walk: Walker, values: Any, where: Where) -> None:
    walk.visit(values.maxlen, where)
    _sequence(walk, values, where)


def _mapping(walk: Walker, values: Any, where: Where) -> None:
    walk.leaf(type(values).__name__, str(len(values)))
    for key, value in values.items():
        walk.visit(key, (where, ", key {}", key))
        walk.visit(value, (where, "[{}]", key))


def _set(walk: Walker, values: Any, where: Where) -> None:
    place = (where, ", an element", "")
    ordered = walk.ordered(values, place)
    walk.parts(type(values).__name__, ((value, place) for value in ordered))


_ATOMS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"",
    type(...): lambda value: b"",
    type(NotImplemented): lambda value: b"",
    bool: lambda value: str(value).encode(),
    int: lambda value: hex(value).encode(),
    float: lambda value: struct.pack("<d", value),
    complex: lambda value: struct.pack("<dd", value.real, value.imag),
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: bytes,
    bytearray: bytes,
}
_CONTAINERS: dict[type, Feed] = {
    tuple: _sequence,
    list: _sequence,
    dict: _mapping,
    types.MappingProxyType: _mapping,
    set: _set,
    frozenset: _set,
    collections.deque: _deque,
}
