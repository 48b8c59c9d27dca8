"""Feeds what a module is by its file: the source, and those of all modules of yours it imports.

Nothing is imported for that, so it does not matter what a process has imported by then.
"""

from __future__ import annotations

import types
import warnings
from typing import Any, NamedTuple

from optimizer.stores import _fingerprint_modules as modules
from optimizer.stores import _fingerprint_names as names
from optimizer.stores._fingerprint_place import Walker, Where, refusal


class Source(NamedTuple):
    """What the file of a module holds."""

    content: bytes
    code: types.CodeType | None  # None for an extension, or a folder without a module
    package: object  # that its relative imports refer to


def feed_module(walk: Walker, module: types.ModuleType, where: Where) -> None:
    """A module somebody holds: a library's by its version, one of yours by its sources."""
    version = modules.version_of_module(module)
    if version is not None:
        walk.leaf("module", f"{module.__name__} {version}")
        return
    source = _read(module.__name__, vars(module))
    if source is None:
        raise refusal(where, f"the module {module.__name__!r}, whose source is not there")
    _feed(walk, source, (where, ", module {}", module.__name__))


def feed_named(walk: Walker, name: str, where: Where) -> None:
    """A module of yours, imported already or not; what is no module counts as absent."""
    source = _read(name, modules.variables_of(name))
    if source is None:
        walk.leaf("absent", b"")
    else:
        _feed(walk, source, (where, ", module {}", name))


def _feed(walk: Walker, source: Source, where: Where) -> None:
    walk.leaf("source", source.content)
    imports = {} if source.code is None else names.imports_of(source.code)
    for relative in sorted(imports):
        name = names.absolute_name(relative, source.package)
        if name is None:
            continue
        walk.leaf("imports", name)
        members = (f"{name}.{member}" for member in sorted(imports[relative]))
        for wanted in (*names.on_the_way(name), *members):
            walk.source(wanted, where)


def _read(name: str, variables: dict[str, Any]) -> Source | None:
    spec = variables["__spec__"] if "__spec__" in variables else modules.locate(name)
    package = variables.get("__package__") or getattr(spec, "parent", None)
    found = getattr(spec, "origin", None) if getattr(spec, "has_location", False) else None
    file = variables.get("__file__") or found
    if not isinstance(file, str):
        folder = "__path__" in variables or getattr(spec, "submodule_search_locations", None)
        return Source(name.encode(), None, package) if folder else None
    loader = getattr(spec, "loader", None) or variables.get("__loader__")
    content = _content(file, loader)
    return None if content is None else Source(content, _code(content, file, loader), package)


def _content(file: str, loader: Any) -> bytes | None:
    try:
        with open(file, "rb") as source:
            return source.read()
    except OSError:
        pass
    try:  # within an archive
        return bytes(loader.get_data(file))
    except Exception:  # whatever a loader raises, if there is one
        return None


def _code(content: bytes, file: str, loader: Any) -> types.CodeType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on its syntax, told where it is imported
        try:
            if file.endswith(".py"):
                return compile(content, file, "exec", dont_inherit=True)
            found = loader.get_code(loader.name)
        except Exception:  # no source and no compiled one either
            return None
    return found if isinstance(found, types.CodeType) else None
