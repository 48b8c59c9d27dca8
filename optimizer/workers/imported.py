"""Which modules workers will need, as far as that can be seen without running anything."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

_MOST_DEPTH = 3  # functions of the main module that call one another


def modules_of(*parts: Any) -> list[str]:
    """Names of the modules that these functions and data refer to, each once.

    A guess that saves time: what it misses, each worker imports for itself.
    """
    names: dict[str, None] = {}
    for part in parts:
        for name in _modules(part, _MOST_DEPTH):
            if name != "builtins" and name.partition(".")[0] != "__main__":
                names[name] = None
    return list(names)


def _modules(part: Any, depth: int) -> Iterator[str]:
    if isinstance(part, ModuleType):
        yield part.__name__
        return
    if isinstance(part, functools.partial):
        part = part.func
    owner = part if isinstance(part, type | FunctionType) else type(part)
    name = getattr(owner, "__module__", None)
    if isinstance(name, str):
        yield name
    if name == "__main__" and isinstance(part, FunctionType) and depth:
        for other in _referred(part):
            yield from _modules(other, depth - 1)


def _referred(function: FunctionType) -> Iterator[Any]:
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
        for name in code.co_names:
            if name in function.__globals__:
                yield function.__globals__[name]
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # not filled yet
