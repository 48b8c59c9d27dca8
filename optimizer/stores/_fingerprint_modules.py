"""Whose code a module is: Python's, an installed package's, or the user's own."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import types

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def standard_version_of(name: str) -> str | None:
    """Python's version for a module of the standard library, imported or not; else None."""
    if name.partition(".")[0] not in sys.stdlib_module_names:
        return None
    return ".".join(map(str, sys.version_info[:3]))


@functools.cache
def version_of(name: str | None) -> str | None:
    """What stands for the code of a module that is not the user's own; None for one that is.

    Python's version for the standard library. For an installed package the version it names, else
    the hash of the module's file.
    """
    if not name or name == "__main__":
        return None
    if (version := standard_version_of(name)) is not None:
        return version
    top = name.partition(".")[0]
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None or not any(place in file for place in _INSTALLED):
        return None
    version = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(version, str):
        return version
    try:
        with open(file, "rb") as content:
            return hashlib.blake2b(content.read(), digest_size=16).hexdigest()
    except OSError:
        return None


def source_of(module: types.ModuleType) -> bytes | None:
    """The bytes of a module's file; for a namespace package none but its name."""
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__.encode() if hasattr(module, "__path__") else None
    try:
        with open(file, "rb") as content:
            return content.read()
    except OSError:
        return None
