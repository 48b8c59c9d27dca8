"""What the code of a function or module names: globals, attributes, and what it imports."""

from __future__ import annotations

import dis
import functools
import importlib
import importlib.util
import types
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

_GLOBAL = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
_ATTRIBUTE = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_IMPORT = dis.opmap["IMPORT_NAME"]
_NONE: frozenset[str] = frozenset()
_KEPT = 1_024  # codes
MISSING = object()


class Names(NamedTuple):
    """The names in some code and in the functions, classes and generators within."""

    globals: frozenset[str]
    all: frozenset[str]  # those, attributes, and what is imported
    imports: Mapping[str, frozenset[str]]  # as `imports_of` gives them
    chains: frozenset[tuple[str, ...]]  # a global and the attributes it is followed by


@functools.lru_cache(_KEPT)
def names_of(code: types.CodeType) -> Names:
    """The names in `code`. Cost: reads all of it, once; code that is equal has the same names."""
    steps = _steps(code)
    found = {str(step.argval) for step in steps if step.opname in _GLOBAL}
    names = set(code.co_names)
    chains = set(_chains(steps))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = names_of(constant)
            found |= inner.globals
            names |= inner.all
            chains |= inner.chains
    return Names(frozenset(found), frozenset(names), imports_of(code), frozenset(chains))


def imports_of(code: types.CodeType) -> dict[str, frozenset[str]]:
    """What it imports, anywhere within: a relative module with its dots -> names from it."""
    found: dict[str, frozenset[str]] = {}
    steps = _steps(code) if _IMPORT in code.co_code[::2] else []
    for i, step in enumerate(steps):
        if step.opcode == _IMPORT:
            # The level and the names to import from are loaded just before.
            name = "." * int(steps[i - 2].argval) + str(step.argval)
            found[name] = found.get(name, _NONE).union(steps[i - 1].argval or ())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for name, members in imports_of(constant).items():
                found[name] = found.get(name, _NONE) | members
    return found


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    return [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]


def _chains(steps: list[dis.Instruction]) -> list[tuple[str, ...]]:
    """`a.b.c` wherever the code reads that from a global `a`."""
    found = []
    for i, step in enumerate(steps):
        if step.opname in _GLOBAL:
            end = i + 1
            while end < len(steps) and steps[end].opname in _ATTRIBUTE:
                end += 1
            if end > i + 1:
                found.append((str(step.argval), *(str(s.argval) for s in steps[i + 1 : end])))
    return found


def names_in_text(text: str) -> frozenset[str]:
    """The global names in an expression, as annotations are; none if it is no expression."""
    try:
        return names_of(compile(text, "", "eval")).globals
    except (SyntaxError, ValueError):
        return _NONE


def on_the_way(name: str) -> list[str]:
    """All that `import a.b.c` imports: `a`, `a.b` and `a.b.c`."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def absolute_name(name: str, package: object) -> str | None:
    """The full name of an imported module; None for a relative one outside a package."""
    try:
        return importlib.util.resolve_name(name, package if isinstance(package, str) else "")
    except ImportError:
        return None


def imported(name: str) -> types.ModuleType | None:
    """The module, imported as the code would; None where that fails, which the code may expect."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit):  # whatever a module that cannot be imported here raises
        return None


def member_of(module: types.ModuleType, name: str) -> Any:
    """What `from module import name` gives, or `MISSING`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the code hears of them itself
            return getattr(module, name)
    except Exception:  # whatever a module's own __getattr__ raises
        found = imported(f"{module.__name__}.{name}")
        return MISSING if found is None else found
