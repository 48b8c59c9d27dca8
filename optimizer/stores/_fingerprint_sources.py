"""Feeds what a module is by its file: the source, and those of all modules of yours it imports.

Nothing is imported for that, so it does not matter what a process has imported by then. Files are
read each time, for their times and sizes say too little; what a text imports is found out once.
"""

from __future__ import annotations

import hashlib
import types
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from optimizer.caching import LRUCache
from optimizer.stores import _fingerprint_modules as modules
from optimizer.stores import _fingerprint_names as names
from optimizer.stores._fingerprint_place import Walker, Where, refusal

Imports = Mapping[str, frozenset[str]]  # as `names.imports_of` gives them
_NONE: Imports = {}
_KEPT = 4_096  # texts, by their hash
_imports: LRUCache[bytes, Imports] = LRUCache(_KEPT)


class Source(NamedTuple):
    """What the file of a module holds."""

    content: bytes
    imports: Imports  # none of an extension, or a folder without a module
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
    imports = source.imports
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
        return Source(name.encode(), _NONE, package) if folder else None
    loader = getattr(spec, "loader", None) or variables.get("__loader__")
    content = _content(file, loader)
    return None if content is None else Source(content, _found(content, file, loader), package)


def _found(content: bytes, file: str, loader: Any) -> Imports:
    """What it imports; of a text that was met before without compiling it again."""
    if not file.endswith(".py"):
        return _of(_loaded(loader))
    key = hashlib.blake2b(content, digest_size=32).digest()
    return _imports.get_or_compute(key, lambda: _of(_compiled(content, file)))


def _of(code: types.CodeType | None) -> Imports:
    return _NONE if code is None else names.imports_of(code)


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


def _compiled(content: bytes, file: str) -> types.CodeType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on its syntax, told where it is imported
        try:
            return compile(content, file, "exec", dont_inherit=True)
        except Exception:  # a file that cannot be imported either
            return None


def _loaded(loader: Any) -> types.CodeType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        try:
            found = loader.get_code(loader.name)
        except Exception:  # no source and no compiled one either
            return None
    return found if isinstance(found, types.CodeType) else None
