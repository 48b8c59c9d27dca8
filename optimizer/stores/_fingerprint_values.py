"""Feeds objects: what wraps callables, values of the standard library, and plain instances."""

from __future__ import annotations

import collections
import copyreg
import functools
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from optimizer.stores import _fingerprint_modules as modules
from optimizer.stores._fingerprint_place import Walker, Where, refusal

_NO_CONTENT = frozenset(("logging.Logger", "logging.RootLogger"))  # they change no value
_C_CALLABLES = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
)
_CYTHON = ("cython_function_or_method", "fused_cython_function")
_TOLD = (
    *("__name__", "_name", "__forward_arg__", "__bound__", "__constraints__", "__supertype__"),
    *("__default__", "__value__"),
)
_UNTOLD = (None, getattr(typing, "NoDefault", None))
_ADDRESS = " at 0x"


def feed(walk: Walker, value: Any, where: Where) -> None:
    """Any object that is neither code nor a built-in container.

    Raises
    ------
    FingerprintError
        It keeps content where it cannot be read.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in _NO_CONTENT:
        walk.leaf(name, b"")
    elif issubclass(kind, _C_CALLABLES) or kind.__name__ in _CYTHON:
        _compiled(walk, value, where)
    elif (parts := _whole(value, name)) is not None:
        walk.parts(name, ((part, where) for part in parts))
    elif (wrapped := _wrapped(value)) is not None:
        walk.parts(name, ((part, where) for part in wrapped))
        if kind not in _WRAPPERS:  # a class of its own may do something else with it
            walk.visit(kind, where)
            walk.visit(_own_attributes(value, _MADE), where)
    elif (public := _public(value)) is not None:
        walk.leaf("public", public)
    else:
        _instance(walk, value, where)


def _public(value: Any) -> str | None:
    """The name and version of what a library holds by its name, of a kind of a library's."""
    if modules.version_of_class(type(value)) is None:
        return None
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    module = getattr(value, "__module__", None)
    if not isinstance(name, str) or not modules.is_held(module, name, value):
        return None
    version = modules.version_of(module)
    return None if version is None else f"{module}.{name} {version}"


def _compiled(walk: Walker, value: Any, where: Where) -> None:
    """A function or method in C: a library's by its name, one of yours by its module's file."""
    owner = getattr(value, "__self__", None)
    class_ = getattr(value, "__objclass__", type(owner))
    module = getattr(value, "__module__", None)
    if module is None and class_ is not type(None):
        module = class_.__module__
    walk.leaf("builtin", f"{module}.{value.__qualname__}")
    version = modules.version_of(module)
    if version is not None:
        walk.leaf("version", version)
    elif isinstance(module, str) and modules.is_extension(module):
        walk.source(module, where)
    else:
        raise refusal(where, f"the function {value.__qualname__!r} in C, whose file is not there")
    if owner is not None and not isinstance(owner, types.ModuleType):
        walk.visit(owner, (where, ", bound to", ""))


# --- the standard library


def _whole(value: Any, name: str) -> tuple[Any, ...] | None:
    """All its content, where it is known what that is."""
    if isinstance(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
        return (value.__objclass__, value.__name__)
    for read in (_typing, _library_in_c, _numba):
        if (parts := read(value)) is not None:
            return parts
    return _standard(value, name)


def _typing(value: Any) -> tuple[Any, ...] | None:
    """What annotations are made of."""
    origin = typing.get_origin(value)
    if origin is not None:
        return (getattr(value, "_name", None), origin, *typing.get_args(value))
    kind = type(value)
    if kind.__module__ not in ("typing", "typing_extensions"):
        return None
    parts = [(name, part) for name in _TOLD if (part := _told(value, name)) not in _UNTOLD]
    text = repr(value)
    return tuple(parts) or (None if _ADDRESS in text else (text,))


def _told(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception:  # it has none, or names what cannot be found here
        return None


def _standard(value: Any, name: str) -> tuple[Any, ...] | None:
    """The whole content of a plain value of the standard library."""
    read = _CONTENT.get(name)
    kind = type(value)
    if read is None or not modules.is_held(kind.__module__, kind.__qualname__, kind):
        return None
    return read(value)


def _library_in_c(value: Any) -> tuple[Any, ...] | None:
    """A shared library by its file: it is loaded at another address in every process."""
    ctypes = sys.modules.get("ctypes")
    if ctypes is None or not isinstance(value, ctypes.CDLL):
        return None
    try:
        with open(value._name, "rb") as file:
            return (type(value), value._name, file.read())
    except (OSError, TypeError):  # found by the loader, by name; None is the program itself
        return (type(value), value._name)


def _moment(value: Any) -> tuple[Any, ...]:
    zone = value.tzinfo
    if zone is not None and modules.version_of(type(zone).__module__) is not None:
        text = repr(zone)
        zone = text if _ADDRESS not in text else zone
    return (repr(value.replace(tzinfo=None)), zone)


def _zone(value: Any) -> tuple[Any, ...] | None:
    return None if value.key is None else (value.key,)


def _reduced(value: Any) -> tuple[Any, ...]:
    return tuple(value.__reduce__()[1])


def _digest(value: Any) -> tuple[Any, ...]:
    return (value.name, value.copy().digest())


def _precision(value: Any) -> tuple[Any, ...]:
    names = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
    traps = sorted(signal.__name__ for signal, trapped in value.traps.items() if trapped)
    return (*(getattr(value, name) for name in names), traps)


_text = (lambda value: (repr(value),)), (lambda value: (str(value),))
_CONTENT: dict[str, Callable[[Any], tuple[Any, ...] | None]] = {
    **dict.fromkeys(("datetime.date", "datetime.timedelta", "datetime.timezone"), _text[0]),
    **dict.fromkeys(("decimal.Decimal", "fractions.Fraction", "uuid.UUID"), _text[0]),
    **dict.fromkeys(("datetime.datetime", "datetime.time"), _moment),
    "zoneinfo.ZoneInfo": _zone,
    **{
        f"{module}.{system}": _text[1]
        for module in ("pathlib", "pathlib._local")
        for system in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
    },
    "builtins.range": _text[0],
    "builtins.slice": lambda value: (value.start, value.stop, value.step),
    "builtins.memoryview": lambda value: (value.format, value.shape, value.tobytes()),
    "types.SimpleNamespace": lambda value: (vars(value),),
    **dict.fromkeys(("operator.itemgetter", "operator.attrgetter"), _reduced),
    "operator.methodcaller": lambda value: value.__reduce__(),
    "array.array": lambda value: (value.typecode, value.tobytes()),
    "_struct.Struct": lambda value: (value.format,),
    "decimal.Context": _precision,
    **dict.fromkeys(("_blake2.blake2b", "_blake2.blake2s", "_hashlib.HASH"), _digest),
    "re.Pattern": lambda value: (value.pattern, value.flags),
}

# --- what wraps a callable

_COPIED = frozenset((*functools.WRAPPER_ASSIGNMENTS, "__wrapped__"))
_MADE = frozenset((*_COPIED, "func", "lock"))  # the latter two by a cached property
_WRAPPERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    types.MethodType: lambda value: (value.__func__, value.__self__),
    functools.partial: lambda value: (value.func, value.args, value.keywords, vars(value)),
    property: lambda value: (value.fget, value.fset, value.fdel),
    classmethod: lambda value: (value.__func__,),
    staticmethod: lambda value: (value.__func__,),
    functools.cached_property: lambda value: (value.func,),
    functools._lru_cache_wrapper: lambda value: (
        value.__wrapped__,
        _own_attributes(value, _COPIED),
    ),
}


def _wrapped(value: Any) -> tuple[Any, ...] | None:
    """The parts of what wraps a callable, in the order that tells them apart."""
    for base, read in _WRAPPERS.items():
        if issubclass(type(value), base):
            return read(value)
    return None


def _numba(value: Any) -> tuple[Any, ...] | None:
    """What is compiled, and how; types only where they were given, since others come with calls."""
    kind = type(value)
    if not str(kind.__module__).startswith("numba."):
        return None
    inner = getattr(value, "_dispatcher", getattr(value, "gufunc_builder", value))
    function = getattr(inner, "py_func", getattr(value, "_pyfunc", None))
    if not isinstance(function, types.FunctionType):
        return None
    given = () if getattr(inner, "_can_compile", True) else inner.signatures
    if getattr(value, "_frozen", False):
        given = value.types
    names = ("_sig", "locals", "signature", "identity")
    told = [str(getattr(value, name, None)) for name in names]
    return (kind, function, getattr(inner, "targetoptions", None), str(given), *told)


def _own_attributes(value: Any, without: frozenset[str]) -> Any:
    """Its state, but for those names."""
    state = object.__getstate__(value)
    if isinstance(state, dict):
        return {name: part for name, part in state.items() if name not in without}
    return state


# --- instances

# Their subclasses have their content and attributes. The order counts: the first ones are some.
_BASES: dict[type, Callable[[Any], Any]] = {
    collections.defaultdict: lambda value: [*dict.items(value), value.default_factory],
    collections.OrderedDict: lambda value: [*collections.OrderedDict.items(value)],
    collections.deque: lambda value: [*collections.deque.__iter__(value), value.maxlen],
    BaseException: lambda value: value.args,
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
    str: str.__str__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytes(memoryview(value)),
    tuple: lambda value: [*tuple.__iter__(value)],
    list: lambda value: [*list.__iter__(value)],
    dict: lambda value: [*dict.items(value)],
    set: lambda value: {*set.__iter__(value)},
    frozenset: lambda value: {*frozenset.__iter__(value)},
}
_MANAGED_DICT, _POINTER = 1 << 4, 8  # Py_TPFLAGS_MANAGED_DICT: lies outside the object


def _instance(walk: Walker, value: Any, where: Where) -> None:
    kind = type(value)
    base = next((base for base in _BASES if issubclass(kind, base)), object)
    result = base is tuple and "n_sequence_fields" in vars(kind)  # of C, some fields only by name
    if not result and _hides(kind, base):
        raise refusal(
            where, f"a {kind.__module__}.{kind.__qualname__}, whose content cannot be read"
        )
    walk.visit(kind, where)
    if base is not object:
        walk.visit(_BASES[base](value), where)
    if result:
        walk.visit(value.__reduce__()[1], where)
    state = object.__getstate__(value)  # not the class's own, which may leave things out
    walk.visit(state, (where, ", attributes of {}", kind.__qualname__))


def _hides(kind: type, base: type) -> bool:
    """Whether there may be more than attributes, slots and the content of `base`.

    Something in C shows in its size, as Python itself checks before it copies; a class that a
    library copies in its own way may keep what only it understands.
    """
    if base is object and (kind.__itemsize__ or any(_is_theirs(kind, n) for n in _COPYING)):
        return True
    size = base.__basicsize__
    size += _POINTER * bool(kind.__dictoffset__ != base.__dictoffset__ and not _managed(kind))
    size += _POINTER * bool(kind.__weakrefoffset__ > 0 and base.__weakrefoffset__ == 0)
    size += _POINTER * len(copyreg._slotnames(kind) or ())  # type: ignore[attr-defined]  # what copy and pickle ask
    return kind.__basicsize__ > size


def _managed(kind: type) -> bool:
    return bool(kind.__flags__ & _MANAGED_DICT)


_COPYING = ("__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__")


def _is_theirs(kind: type, name: str) -> bool:
    """Whether somebody else than you defines that method; `object` does not count."""
    found = getattr(kind, name, None)
    if found is None or found is getattr(object, name, None):
        return False
    return not (
        isinstance(found, types.FunctionType) and modules.version_of_function(found) is None
    )
