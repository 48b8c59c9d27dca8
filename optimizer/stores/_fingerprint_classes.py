"""Feeds classes and the members of enumerations."""

from __future__ import annotations

import abc
import collections
import enum
import types
from typing import Any

from optimizer.stores import _fingerprint_modules as modules
from optimizer.stores import _fingerprint_names as names
from optimizer.stores._fingerprint_place import Walker, Where

# What says the same as other members, or is filled while the class is used.
_IGNORED = frozenset(
    (
        *("__module__", "__dict__", "__weakref__", "__firstlineno__", "_abc_impl", "__slotnames__"),
        *("__static_attributes__", "__annotations__", "__annotations_cache__", "__annotate__"),
        *("__annotate_func__", "__protocol_attrs__", "__non_callable_proto_members__"),
        *("__callable_proto_members_only__", "_value2member_map_", "_unhashable_values_"),
        *("_hashable_values_", "_unhashable_values_map_", "__doc__"),
    )
)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType, collections._tuplegetter)  # type: ignore[attr-defined]  # the fields of a namedtuple; `_fields` names them
_MEMBER_STATE = frozenset(("_name_", "_value_", "__objclass__", "_sort_order_"))


def feed(walk: Walker, kind: type, where: Where) -> None:
    """A class: one of a library by its name and version, one of yours by all there is in it."""
    walk.leaf("class", kind.__qualname__)
    version = modules.version_of_class(kind)
    if version is not None:
        walk.leaf("version", f"{kind.__module__} {version}")
        return
    place = (where, ", class {}", kind.__qualname__)
    if modules.version_of(kind.__module__) is None and modules.is_extension(kind.__module__):
        walk.source(kind.__module__, place)
    walk.parts("bases", ((base, place) for base in kind.__bases__))
    if type(kind) is not type:
        walk.visit(type(kind), (place, ", its class", ""))
    if (registered := _registered(kind)) is not None:
        walk.visit(registered, (place, ", registered", ""))
    for name, value in list(vars(kind).items()):
        if name not in _IGNORED and not isinstance(value, _SLOTS):
            walk.leaf("member", name)
            walk.visit(value, (place, ", {}", name))
    text = vars(kind).get("__doc__")  # a dataclass writes its defaults there, with addresses
    walk.leaf("text", text if isinstance(text, str) and " at 0x" not in text else "")
    _annotations(walk, kind, (place, ", annotations", ""))


def _annotations(walk: Walker, kind: type, where: Where) -> None:
    """The types of its fields, which it may be filled by; of texts what they name."""
    lazy = getattr(kind, "__annotate__", None)  # Python 3.14: evaluated, it could fail
    if lazy is not None:
        walk.visit(lazy, where)
        return
    variables = modules.variables_of(kind.__module__)
    for name, annotation in (vars(kind).get("__annotations__") or {}).items():
        walk.leaf("annotation", name)
        walk.visit(annotation, where)
        if isinstance(annotation, str):
            for used in sorted(names.names_in_text(annotation) & variables.keys()):
                walk.leaf("names", used)
                walk.visit(variables[used], where)


def feed_member(walk: Walker, member: enum.Enum, where: Where) -> None:
    """A member of an enumeration, or several at once, which have no name of their own."""
    walk.visit(type(member), where)
    walk.visit([member._name_, member._value_], where)
    state = {name: value for name, value in vars(member).items() if name not in _MEMBER_STATE}
    walk.visit(state, (where, ", attributes of {}", str(member._name_)))


def _registered(kind: type) -> set[Any] | None:
    """The classes that were declared to be subclasses; they decide what isinstance answers."""
    if not isinstance(kind, abc.ABCMeta) or "_abc_impl" not in vars(kind):
        return None
    dump = getattr(abc, "_get_dump", None)  # there in CPython for its own tests
    references = dump(kind)[0] if dump is not None else ()
    found = {reference() for reference in references}
    return {registered for registered in found if registered is not None} or None
