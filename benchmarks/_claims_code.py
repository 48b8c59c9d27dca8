"""What a run of the claims was made with: its suites, and the libraries it stands beside."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from pathlib import Path

from benchmarks import _peers
from benchmarks._records import suite_hash

LIBRARIES = ("numba", "numpy", "optuna", "orjson", "pandas", "vectorbt", "vectorbt-rust")


def suites(root: Path, *, peers: bool) -> str:
    """Hash of what declares the hot paths that were measured; with `peers`, of them too."""
    found = suite_hash(root)
    if not peers:
        return found
    own = (root / "benchmarks" / Path(_peers.__file__).name).read_bytes()
    return hashlib.sha256(found.encode() + own).hexdigest()[: len(found)]


def versions() -> dict[str, str]:
    """Library -> version, of those that are installed here."""
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
