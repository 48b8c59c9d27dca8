"""What the code of a function names: globals, attributes, and modules it imports while it runs."""

from __future__ import annotations

import dis
import importlib
import importlib.util
import types
from typing import Any, NamedTuple

_GLOBAL = frozenset(("LOAD_GLOBAL", "LOAD_NAME"))


class Names(NamedTuple):
    """The names in a function's code and in the functions, classes and generators within."""

    globals: frozenset[str]
    all: frozenset[str]  # those, attributes, and what is imported
    imports: frozenset[str]  # modules, a relative one with its leading dots


def names_of(code: types.CodeType) -> Names:
    """The names in `code`. Cost: reads all of it."""
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    found = {str(step.argval) for step in steps if step.opname in _GLOBAL}
    names = set(code.co_names)
    # The level and the names to import from are loaded just before.
    imports = {
        "." * int(steps[i - 2].argval) + str(step.argval)
        for i, step in enumerate(steps)
        if step.opname == "IMPORT_NAME"
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = names_of(constant)
            found |= inner.globals
            names |= inner.all
            imports |= inner.imports
    return Names(frozenset(found), frozenset(names), frozenset(imports))


def absolute_name(name: str, variables: dict[str, Any]) -> str | None:
    """The full name of an imported module; None for a relative one outside a package."""
    package = variables.get("__package__") or ""
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:
        return None


def imported(name: str) -> types.ModuleType | None:
    """The module, imported as the code would; None where that fails, which the code may expect."""
    try:
        return importlib.import_module(name)
    except Exception:  # whatever a module that cannot be imported here raises
        return None
