"""Whose code it is: Python's, an installed package's, or the user's own; and where it lies."""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
import sysconfig
import types
from typing import Any

from optimizer.stores import _fingerprint_packages

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_WITHIN_PYTHON = ("built-in", "frozen")
_MAIN = ("__main__", "__mp_main__")
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: all classes made by Python code, and some of C's


def version_of(name: object, variables: dict[str, Any] | None = None) -> str | None:
    """What stands for the code of a module that is not the user's own; None for one that is.

    Python's version for the standard library, the package's for an installed one. A module of the
    user's that has the name of one of Python's is told by its file. `variables` are the module's,
    where it may be another one than `sys.modules` has by that name. Imports nothing.
    """
    if not isinstance(name, str) or not name or name in _MAIN:
        return None
    top = name.partition(".")[0]
    place = _place(name, variables)
    if place is None and top != name:
        place = _place(top)
    if place is None:
        return None
    if top in sys.stdlib_module_names and _is_standard(place):
        return f"Python {'.'.join(map(str, sys.version_info[:3]))}"
    if any(folder in place for folder in _INSTALLED):
        return _fingerprint_packages.version_of(top, _place(top) or place)
    return None


def version_of_module(module: types.ModuleType) -> str | None:
    """`version_of`, for a module that may be another than `sys.modules` has by its name."""
    return version_of(module.__name__, vars(module))


def version_of_function(function: types.FunctionType) -> str | None:
    """What stands for its code if a library wrote it; None if the user did.

    A function says whose it is by the variables it uses; what wrappers copy onto it does not.
    """
    variables = function.__globals__
    name, file = variables.get("__name__"), function.__code__.co_filename
    if file.startswith("<"):  # frozen, or made from a text, which could be anybody's
        theirs = variables_of(name) is variables
    else:
        theirs = _stem(file) == _stem(str(variables.get("__file__")))
    return version_of(name, variables) if theirs else None


def version_of_class(kind: type) -> str | None:
    """What stands for its code if a library wrote it; None if the user did.

    `__module__` alone says little: a class made by a call has the module of what was called.
    """
    heap = kind.__flags__ & _HEAP_TYPE
    if heap and not is_held(kind.__module__, kind.__qualname__, kind):
        return None
    return version_of(kind.__module__)


def variables_of(name: object) -> dict[str, Any]:
    """The variables of an imported module; none if there is none of that name."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    return vars(module) if isinstance(module, types.ModuleType) else {}


def is_held(module: object, qualname: str, value: object) -> bool:
    """Whether that module has the very object under that name."""
    found: Any = sys.modules.get(module) if isinstance(module, str) else None
    for name in qualname.split("."):
        try:
            found = vars(found).get(name)
        except TypeError:  # None, or something else without attributes
            return False
    if isinstance(found, (classmethod, staticmethod)):
        found = found.__func__
    return found is value


def is_yours(value: object) -> bool:
    """Whether it is a function or class that a module of the user's defines."""
    if isinstance(value, types.FunctionType):
        variables = value.__globals__
        known = variables_of(variables.get("__name__")) is variables
        return known and version_of_function(value) is None
    if isinstance(value, type):
        return is_held(value.__module__, value.__qualname__, value) and (
            version_of(value.__module__) is None
        )
    return False


def is_extension(name: str) -> bool:
    """Whether the module is compiled, so that its functions and classes show no code."""
    place = _place(name)
    return place is not None and place.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


def locate(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where an import would find the module; no package on the way is imported for it."""
    spec, path = None, None
    whole = ""
    for part in name.split("."):
        if spec is not None:
            path = spec.submodule_search_locations
            if path is None:
                return None
        whole = f"{whole}.{part}" if whole else part
        spec = _spec(whole, path)
        if spec is None:
            return None
    return spec


def _spec(name: str, path: Any) -> importlib.machinery.ModuleSpec | None:
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if isinstance(loaded, importlib.machinery.ModuleSpec):
        return loaded
    try:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if find is not None and (spec := find(name, path)) is not None:
                return spec  # type: ignore[no-any-return]  # a finder may be anybody's
    except Exception:  # whatever a finder raises
        return None
    return None


def _place(name: str, variables: dict[str, Any] | None = None) -> str | None:
    """A module's file or folder, or how Python has it within itself."""
    if variables is None:
        variables = variables_of(name)
    spec = variables.get("__spec__") or (None if variables else locate(name))
    folders = variables.get("__path__") or getattr(spec, "submodule_search_locations", None)
    for place in (variables.get("__file__"), getattr(spec, "origin", None), *(folders or ())):
        if isinstance(place, str):
            return place
    return None


@functools.cache
def _is_standard(place: str) -> bool:
    if place in _WITHIN_PYTHON:
        return True
    if any(folder in place for folder in _INSTALLED):
        return False
    return os.path.abspath(place).startswith(_standard_folders())


@functools.cache
def _standard_folders() -> tuple[str, ...]:
    found = {os.path.dirname(os.__file__)}
    found.update(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    found.update([os.path.realpath(folder) for folder in found])
    return tuple(sorted(folder + os.sep for folder in found))


def _stem(file: str) -> str:
    """A source and its compiled file have one."""
    return os.path.splitext(os.path.basename(file))[0]
