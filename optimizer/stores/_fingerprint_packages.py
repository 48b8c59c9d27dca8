"""What stands for the code of an installed package: its distribution's version, or its files."""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_CODE = (".py", *importlib.machinery.EXTENSION_SUFFIXES, *importlib.machinery.BYTECODE_SUFFIXES)


@functools.cache
def version_of(top: str, place: str) -> str | None:
    """The version of the package `top`, whose file is `place`; None where it is still worked on.

    Promises: other text for another release. What did not come from an index may change and keep
    its version, so the hashes of its installed files are added; where no distribution is known
    they stand alone. Cost: a few files; all of the package where nothing is known about it.
    """
    told = []
    for distribution in _distributions(top):
        origin = _origin_of(distribution)
        if origin is not None and origin.get("dir_info", {}).get("editable"):
            return None  # its files are links to the user's own
        told.append(f"{distribution.metadata['Name']} {distribution.version}")
        if origin is not None:
            told.append(_recorded(distribution) or _hash_of_files(place) or "")
    return " ".join(told) or _hash_of_files(place)


def _distributions(top: str) -> list[Distribution]:
    """Those that the package belongs to; mostly the one of its own name."""
    import importlib.metadata  # not before it is needed: it takes long to load

    try:
        named = importlib.metadata.distribution(top)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        named = None
    if named is not None and _owns(named, top):
        return [named]
    return [
        importlib.metadata.distribution(name) for name in sorted(set(_by_package().get(top, ())))
    ]


@functools.cache
def _by_package() -> dict[str, list[str]]:
    """Package to distributions; reads about all that are installed, so only where it must be."""
    import importlib.metadata  # as above

    return dict(importlib.metadata.packages_distributions())


def _owns(distribution: Distribution, top: str) -> bool:
    starts = (f"{top}/", f"{top}.")
    record = distribution.read_text("RECORD") or ""
    known = (distribution.read_text("top_level.txt") or "").split()
    return top in known or any(line.startswith(starts) for line in record.splitlines())


def _origin_of(
    distribution: Distribution,
) -> dict[str, dict[str, object]] | None:
    """Where it was installed from, if not from an index."""
    text = distribution.read_text("direct_url.json")
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return {}
    return found if isinstance(found, dict) or found is None else {}


def _recorded(distribution: Distribution) -> str | None:
    """One hash of the hashes of its installed modules; None where they were not recorded."""
    lines = (distribution.read_text("RECORD") or "").splitlines()
    kept = sorted(
        line
        for line in lines
        if not line.startswith("..") and ".dist-info/" not in line and "sha256=" in line
    )
    return hashlib.sha256("\n".join(kept).encode()).hexdigest() if kept else None


def _hash_of_files(place: str) -> str | None:
    """One hash of the code of a package or module; None where it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        for name, path in _files_of(place):
            with open(path, "rb") as content:
                inner = hashlib.blake2b(content.read(), digest_size=32).digest()
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + inner)
    except OSError:
        return None
    return digest.hexdigest()


def _files_of(place: str) -> Iterator[tuple[str, str]]:
    """Names, as seen from the package, and paths of its modules, sorted."""
    start = os.path.basename(place).partition(".")[0]
    if start != "__init__" and not os.path.isdir(place):
        yield os.path.basename(place), place
        return
    folder = place if os.path.isdir(place) else os.path.dirname(place)
    for inside, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            if name.endswith(_CODE):
                path = os.path.join(inside, name)
                yield os.path.relpath(path, folder).replace(os.sep, "/"), path
