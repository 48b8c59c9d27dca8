"""Feeds an object, and all that it can reach, into a hash.

Each kind of object writes a tag, then its parts, with lengths before whatever varies in length: two
objects feed the same bytes only if they are alike. Functions, classes and modules get a number when
they are first met, and a later meeting writes that number: recursion ends, and what they contain
counts once. For containers only those around the present place are remembered, and met again as "so
many levels up", since whether two equal ones are one object differs from process to process.
"""

from __future__ import annotations

import collections
import enum
import functools
import hashlib
import re
import struct
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from optimizer.errors import FingerprintError
from optimizer.stores import _fingerprint_arrays, _fingerprint_modules, _fingerprint_names

MAX_DEPTH = 200
_CODE_NUMBERS = ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags")
_CODE_NAMES = ("co_names", "co_varnames", "co_freevars", "co_cellvars")
# Members of a class that an objective does not compute with, or that others repeat: what a
# dataclass says about its fields is in the `__init__` it makes.
_IGNORED = frozenset(
    (
        *("__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "_abc_impl"),
        *("__static_attributes__", "__annotations__", "__annotate__", "__annotate_func__"),
        *("__annotations_cache__", "__orig_bases__", "__parameters__", "__slotnames__"),
        *("__dataclass_fields__", "__dataclass_params__"),
    )
)

# Values of the standard library whose text is their whole content.
_BY_TEXT = frozenset(
    (
        *("datetime.date", "datetime.time", "datetime.datetime", "datetime.timedelta"),
        *("datetime.timezone", "decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
        *("pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib._local.PosixPath"),
        *("pathlib._local.PurePosixPath", "zoneinfo.ZoneInfo"),
        *("builtins.range", "builtins.slice"),
    )
)
_NO_CONTENT = frozenset(("logging.Logger", "logging.RootLogger"))  # they change no value


class Hash(Protocol):
    """What a walk writes to."""

    def update(self, data: Any, /) -> None: ...


class Walk:
    """Visits objects, in order, and feeds them into one hash."""

    def __init__(self, sink: Hash) -> None:
        self._sink = sink
        self._met: dict[int, int] = {}  # id of a function, class or module -> its number
        self._kept: list[Any] = []  # alive as long as the ids count
        self._around: list[int] = []  # ids of the containers around this place
        self._looked_into: list[int] = []  # ids of the modules whose attributes are being visited

    def visit(self, value: Any, where: str) -> None:
        """Feed one object.

        Raises
        ------
        FingerprintError
            It, or something in it, has no content that could be read; the message says where.
        """
        kind = type(value)
        atom = _ATOMS.get(kind)
        if atom is not None:
            self._leaf(kind.__name__, atom(value))
        elif kind in _BUILT_IN:
            self._within(value, where, functools.partial(_BUILT_IN[kind], self))
        elif isinstance(value, types.CodeType):
            self._code(value, where)
        else:
            self._other(value, where)

    def _other(self, value: Any, where: str) -> None:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if _fingerprint_arrays.feeds(value):
            self._leaf(name, b"")
            _fingerprint_arrays.feed(value, where, self._sink.update, self.visit)
        elif name in _NO_CONTENT:
            self._leaf(name, b"")
        elif name in _BY_TEXT:
            self._leaf(name, repr(value).encode("utf-8", "surrogatepass"))
        elif isinstance(value, types.FunctionType):
            self._once(value, where, self._function)
        elif isinstance(value, types.ModuleType):
            self._once(value, where, self._module)
        elif isinstance(value, type):
            self._once(value, where, self._class)
        elif isinstance(value, (types.BuiltinFunctionType, *_C_CALLABLES)):
            self._builtin(value, where)
        elif isinstance(value, enum.Enum):
            self._once(value, where, self._member)
        else:
            self._within(value, where, self._object)

    def _leaf(self, tag: str, content: bytes) -> None:
        self._sink.update(f"{len(tag)}:{tag}{len(content)}:".encode())
        self._sink.update(content)

    def _parts(self, tag: str, parts: Iterable[tuple[Any, str]]) -> None:
        listed = list(parts)
        self._leaf(tag, str(len(listed)).encode())
        for part, where in listed:
            self.visit(part, where)

    def _within(self, value: Any, where: str, feed: Callable[[Any, str], None]) -> None:
        if id(value) in self._around:
            levels = self._around[::-1].index(id(value))
            self._leaf("around", str(levels).encode())
            return
        if len(self._around) >= MAX_DEPTH:
            raise _refusal(where, f"nested deeper than {MAX_DEPTH} levels")
        self._around.append(id(value))
        try:
            feed(value, where)
        finally:
            self._around.pop()

    def _once(self, value: Any, where: str, feed: Callable[[Any, str], None]) -> None:
        number = self._met.get(id(value))
        if number is not None:
            self._leaf("again", str(number).encode())
            return
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        self._within(value, where, feed)

    # --- code

    def _function(self, function: types.FunctionType, where: str) -> None:
        if (version := _fingerprint_modules.version_of(function.__module__)) is not None:
            self._leaf("function", f"{function.__module__}.{function.__qualname__}".encode())
            self._leaf("version", version.encode())
            # A closure of an installed function may hold code of yours (a decorator's).
            if not function.__closure__:
                return
        place = f"{where}, function {function.__qualname__!r}"
        self._leaf("def", b"")
        self.visit(function.__code__, place)
        self.visit(function.__defaults__, f"{place}, defaults")
        self.visit(function.__kwdefaults__, f"{place}, defaults")
        self.visit(vars(function), f"{place}, attributes")
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                inner = cell.cell_contents
            except ValueError:  # not assigned yet
                inner = None
            self.visit(inner, f"{place}, closure {name!r}")
        if version is None:
            self._globals(function, place)

    def _globals(self, function: types.FunctionType, where: str) -> None:
        variables = function.__globals__
        names = _fingerprint_names.names_of(function.__code__)
        for name in sorted(names.globals):
            if name in variables:
                place = f"{where}, global {name!r}"
                self._leaf("global", name.encode())
                self.visit(variables[name], place)
                self._named_in(variables[name], names.all, place)
        for name in sorted(names.imports):
            full = _fingerprint_names.absolute_name(name, variables)
            if full is not None:
                self._import(full, names.all, f"{where}, import {name!r}")

    def _import(self, name: str, names: frozenset[str], where: str) -> None:
        self._leaf("import", name.encode())
        version = _fingerprint_modules.standard_version_of(name)
        if version is not None:  # known without importing it
            self._leaf("version", version.encode())
            return
        # All modules on the way: `import a.b` names `a`.
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            module = _fingerprint_names.imported(".".join(parts[:end]))
            self.visit(module, where)
            self._named_in(module, names, where)

    def _named_in(self, value: Any, names: frozenset[str], where: str) -> None:
        """What code names of a module of yours may be other than its source says by now."""
        if not isinstance(value, types.ModuleType) or id(value) in self._looked_into:
            return
        if _fingerprint_modules.version_of(value.__name__) is not None:
            return
        self._looked_into.append(id(value))
        for name in sorted(names & vars(value).keys()):
            place = f"{where}, its {name!r}"
            self._leaf("attribute", name.encode())
            self.visit(vars(value)[name], place)
            self._named_in(vars(value)[name], names, place)
        self._looked_into.pop()

    def _code(self, code: types.CodeType, where: str) -> None:
        self._leaf("code", code.co_code)
        self._leaf("exceptions", code.co_exceptiontable)
        self._leaf("numbers", repr([getattr(code, name) for name in _CODE_NUMBERS]).encode())
        for name in _CODE_NAMES:
            self._parts(name, ((text, where) for text in getattr(code, name)))
        self._parts("constants", ((constant, where) for constant in code.co_consts))

    def _module(self, module: types.ModuleType, where: str) -> None:
        version = _fingerprint_modules.version_of(module.__name__)
        if version is not None:
            self._leaf("module", f"{module.__name__} {version}".encode())
            return
        source = _fingerprint_modules.source_of(module)
        if source is None:
            raise _refusal(where, f"the module {module.__name__!r}, whose source is not there")
        self._leaf("source", source)
        for name, value in sorted(vars(module).items()):  # modules of yours that it uses
            owner = value if isinstance(value, types.ModuleType) else None
            if owner is None and isinstance(value, (types.FunctionType, type)):
                owner = sys.modules.get(value.__module__ or "")
            if owner is not None and _fingerprint_modules.version_of(owner.__name__) is None:
                self.visit(owner, f"{where}, module {owner.__name__!r} by {name!r}")

    def _class(self, kind: type, where: str) -> None:
        self._leaf("class", kind.__qualname__.encode())
        version = _fingerprint_modules.version_of(kind.__module__)
        if version is not None:
            self._leaf("version", f"{kind.__module__} {version}".encode())
            return
        place = f"{where}, class {kind.__qualname__!r}"
        self._parts("bases", ((base, place) for base in kind.__bases__))
        for name, value in vars(kind).items():
            if name not in _IGNORED and not isinstance(value, _SLOTS):
                self._leaf("member", name.encode())
                self.visit(value, f"{place}, {name!r}")

    def _builtin(self, value: Any, where: str) -> None:
        name = getattr(value, "__qualname__", type(value).__qualname__)
        module = getattr(value, "__module__", None) or "builtins"
        owner = getattr(value, "__self__", None)
        self._leaf("builtin", f"{module}.{name}".encode())
        self._leaf("version", (_fingerprint_modules.version_of(module) or "").encode())
        if owner is not None and not isinstance(owner, types.ModuleType):
            self.visit(owner, f"{where}, bound to")

    def _member(self, value: enum.Enum, where: str) -> None:
        self.visit(type(value), where)
        self._leaf("member", value.name.encode())
        self.visit(value.value, where)

    # --- objects

    def _object(self, value: Any, where: str) -> None:
        if (unwrapped := _unwrapped(value)) is not None:
            self._parts(type(value).__qualname__, ((part, where) for part in unwrapped))
            return
        kind = type(value)
        base = next((base for base in _BUILT_IN_BASES if isinstance(value, base)), None)
        if base is None and not _is_plain(value):
            raise _refusal(where, f"{_name(kind)}, whose content cannot be read")
        self.visit(kind, where)
        if base is not None:
            self.visit(_content(value, base), where)
        state = object.__getstate__(value)  # not the class's own, which may leave things out
        self.visit(state, f"{where}, attributes of {kind.__qualname__!r}")


def _is_plain(value: Any) -> bool:
    """Whether attributes and slots are all the state there is, and none lies in C.

    `object` checks that when it is asked to copy; a class that copies itself in another way would
    bypass the check.
    """
    kind = type(value)
    as_usual = all(
        getattr(kind, name) is getattr(object, name) for name in ("__reduce__", "__reduce_ex__")
    )
    if not as_usual or hasattr(kind, "__getnewargs__") or hasattr(kind, "__getnewargs_ex__"):
        return False
    try:
        object.__reduce_ex__(value, 2)
    except Exception:  # it refuses, or the class's own __getstate__ fails
        return False
    return True


def _unwrapped(value: Any) -> tuple[Any, ...] | None:
    """The parts of what wraps a callable, in the order that tells them apart."""
    if isinstance(value, types.MethodType):
        return (value.__func__, value.__self__)
    if isinstance(value, functools.partial):
        return (value.func, value.args, value.keywords, vars(value))
    if isinstance(value, property):
        return (value.fget, value.fset, value.fdel)
    if isinstance(value, (classmethod, staticmethod)):
        return (value.__func__,)
    if isinstance(value, functools.cached_property):
        return (value.func,)
    if isinstance(value, re.Pattern):
        return (value.pattern, value.flags)
    if isinstance(value, functools._lru_cache_wrapper):
        return (value.__wrapped__,)
    if type(value).__module__.startswith("numba.") and hasattr(value, "py_func"):
        return (value.py_func, getattr(value, "targetoptions", None))
    return None


def _content(value: Any, base: type) -> Any:
    """The content of an instance of a subclass of a built-in type, as that type."""
    if base is dict:
        factory = getattr(value, "default_factory", None)
        return [*value.items(), factory]
    if base in (list, tuple, set, frozenset):
        return base(iter(value))
    return base(value)


def _sequence(walk: Walk, values: Any, where: str) -> None:
    name = type(values).__name__
    walk._parts(name, ((value, f"{where}[{i}]") for i, value in enumerate(values)))


def _mapping(walk: Walk, values: Any, where: str) -> None:
    pairs = ((part, f"{where}[{key!r}]") for key, value in values.items() for part in (key, value))
    walk._parts(type(values).__name__, pairs)


def _set(walk: Walk, values: Any, where: str) -> None:
    digests = []
    for value in values:  # in no order: each by itself, then sorted
        digest = hashlib.blake2b(digest_size=32)
        alone = Walk(digest)
        alone._around = walk._around
        alone.visit(value, f"{where}, an element")
        digests.append(digest.digest())
    walk._leaf("set", b"".join(sorted(digests)))


def _refusal(where: str, found: str) -> FingerprintError:
    return FingerprintError(f"{where} is {found}. {_ADVICE}")


def _name(kind: type) -> str:
    return f"a {kind.__module__}.{kind.__qualname__}"


_ADVICE = (
    "Expected functions, classes, plain values, arrays and tables, whose content decides. Pass"
    " version='...' to fingerprint, and change it whenever objective or data change."
)
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
_BUILT_IN: dict[type, Callable[[Walk, Any, str], None]] = {
    tuple: _sequence,
    list: _sequence,
    dict: _mapping,
    types.MappingProxyType: _mapping,
    set: _set,
    frozenset: _set,
    collections.deque: _sequence,
}
_BUILT_IN_BASES = (int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType, collections._tuplegetter)  # type: ignore[attr-defined]  # the fields of a namedtuple; `_fields` names them
_C_CALLABLES = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
)
