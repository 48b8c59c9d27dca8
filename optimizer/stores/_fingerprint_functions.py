"""Feeds functions: their code, and what it can reach by the names in it."""

from __future__ import annotations

import builtins
import functools
import types
from typing import Any

from optimizer.stores import _fingerprint_modules as modules
from optimizer.stores import _fingerprint_names as names
from optimizer.stores._fingerprint_place import Walker, Where

# What a module is told by the import: a script is another module where a worker imports it.
_OF_THE_IMPORT = frozenset(("__name__", "__spec__", "__loader__", "__cached__", "__builtins__"))
_OF_THE_MODULE = _OF_THE_IMPORT | {"__file__", "__path__", "__package__", "__doc__"}
_CODE_NUMBERS = ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags")
_CODE_NAMES = ("co_names", "co_varnames", "co_freevars", "co_cellvars")


def feed(walk: Walker, function: types.FunctionType, where: Where) -> None:
    """A function: one of a library by its name and version, unless it may hold code of yours."""
    version = modules.version_of_function(function)
    place = (where, ", function {}", function.__qualname__)
    if version is None:
        walk.leaf("def", b"")
    else:
        walk.leaf("function", f"{function.__qualname__} {version}")
        if modules.is_held(function.__globals__["__name__"], function.__qualname__, function):
            return  # else a library made it by a call, and was given something
        if "registry" in vars(function) and function.__globals__ is vars(functools):
            walk.visit(dict(vars(function)["registry"]), (place, ", registered", ""))
            return  # singledispatch; the rest remembers what was looked up
    walk.visit(function.__code__, place)
    walk.visit(function.__defaults__, (place, ", defaults", ""))
    walk.visit(function.__kwdefaults__, (place, ", defaults", ""))
    attributes = {name: value for name, value in vars(function).items() if name != "__signature__"}
    walk.visit(attributes, (place, ", attributes", ""))
    _closure(walk, function, place)
    if version is None:
        _annotations(walk, function, place)
        _globals(walk, function, place)


def feed_code(walk: Walker, code: types.CodeType, where: Where) -> None:
    """What the code does, without the lines and files it came from."""
    walk.leaf("code", code.co_code)
    walk.leaf("exceptions", code.co_exceptiontable)
    walk.leaf("numbers", repr([getattr(code, name) for name in _CODE_NUMBERS]))
    for name in _CODE_NAMES:
        walk.parts(name, ((text, where) for text in getattr(code, name)))
    walk.parts("constants", ((constant, where) for constant in code.co_consts))


def outline(walk: Walker, function: types.FunctionType, where: Where) -> None:
    """What tells it from others without following its names: for an order among them."""
    walk.leaf("outline", function.__qualname__)
    walk.visit(function.__code__, where)
    walk.visit(function.__defaults__, where)
    walk.visit(function.__kwdefaults__, where)
    _closure(walk, function, where)


def _annotations(walk: Walker, function: types.FunctionType, where: Where) -> None:
    """What a decorator may convert by. Classes by name: those the code uses it names elsewhere."""
    found = getattr(function, "__annotate__", None)  # Python 3.14: evaluated, it could fail
    if found is None:
        found = function.__annotations__
    walk.leaf("annotations", walk.outline(found, (where, ", annotations", "")))


def _closure(walk: Walker, function: types.FunctionType, where: Where) -> None:
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            inner = cell.cell_contents
        except ValueError:
            walk.leaf("not assigned yet", name)
        else:
            walk.visit(inner, (where, ", closure {}", name))


def _globals(walk: Walker, function: types.FunctionType, where: Where) -> None:
    variables = function.__globals__
    found = names.names_of(function.__code__)
    for name in sorted(found.globals - _OF_THE_IMPORT):
        place = (where, ", global {}", name)
        if name in variables:
            walk.leaf("global", name)
            walk.visit(variables[name], place)
            if isinstance(variables[name], types.ModuleType):
                walk.ask(variables[name], found.all, place)
        else:
            _builtin(walk, variables.get("__builtins__"), name, place)
    for chain in sorted(found.chains):
        _lazy(walk, chain, variables.get(chain[0]), (where, ", global {}", chain[0]))
    for name in sorted(found.imports):
        place = (where, ", import {}", name)
        walk.leaf("import", name)
        full = names.absolute_name(name, variables.get("__package__"))
        if full is not None:
            _import(walk, full, found.imports[name], found.all, place)


def _builtin(walk: Walker, found: Any, name: str, where: Where) -> None:
    """A name that the module lacks: Python's own say nothing, others may have been put there."""
    if not isinstance(found, dict):  # of the module `__main__` it is the module of that name
        found = vars(builtins)
    value = found.get(name)
    if isinstance(value, (int, float, str)) or modules.is_yours(value):
        walk.leaf("global", name)
        walk.visit(value, where)


def _lazy(walk: Walker, chain: tuple[str, ...], value: Any, where: Where) -> None:
    """`a.b.c` where a module of yours makes its attributes when they are asked for."""
    for name in chain[1:]:
        if not isinstance(value, types.ModuleType):
            return
        where = (where, ", its {}", name)
        if "__getattr__" in vars(value):
            if modules.version_of_module(value) is not None:
                return
            value = names.member_of(value, name)
            if value is names.MISSING:
                return
            walk.leaf("lazy", name)
            walk.visit(value, where)
        elif name in vars(value):
            value = vars(value)[name]
        else:
            return


def _import(
    walk: Walker, name: str, members: frozenset[str], used: frozenset[str], where: Where
) -> None:
    """An import that runs when the function does; one of a library is not imported for this."""
    version = modules.version_of(name)
    if version is not None:
        walk.leaf("version", version)
        return
    # First import all of it, so that what a package holds is the same in every process.
    loaded = [names.imported(module) for module in names.on_the_way(name)]
    last = loaded[-1]
    held = [] if last is None else [names.member_of(last, member) for member in sorted(members)]
    for module in loaded:
        walk.visit(module, where)
        if module is not None:
            walk.ask(module, used, where)
    for member, value in zip(sorted(members), held, strict=False):
        walk.leaf("member", member)
        if value is not names.MISSING:
            walk.visit(value, (where, ", its {}", member))


def feed_held(walk: Walker, module: types.ModuleType, used: frozenset[str], where: Where) -> None:
    """What a module holds under the names some code uses, which may differ from its source.

    Of a library's module only what is yours: that somebody put there.
    """
    yours = modules.version_of_module(module) is None
    variables = vars(module)
    for name in sorted((used - _OF_THE_MODULE) & variables.keys()):
        value = variables[name]
        place = (where, ", its {}", name)
        if isinstance(value, types.ModuleType):
            walk.ask(value, used, place)
        if (yours or modules.is_yours(value)) and walk.first((id(module), name)):
            walk.leaf("attribute", name)
            walk.visit(value, place)
