"""What a run of the claims was made with: its suites, and the libraries it stands beside."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import sqlite3
from pathlib import Path

from benchmarks._records import suite_hash

OPTIMIZERS, TRACKERS = ("optuna", "rustuna", "sqlalchemy"), ("vectorbt", "vectorbt-rust")
LIBRARIES = ("numba", "numpy", "orjson", "pandas", *OPTIMIZERS, *TRACKERS)


def suites(root: Path, *, peers: bool) -> str:
    """Hash of what declares the hot paths that were measured: the claims', or the `peers`'."""
    found = suite_hash(root)
    digest = hashlib.sha256(found.encode())
    for file in sorted((root / "benchmarks").glob("_peers*.py" if peers else "_engine*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[: len(found)]


def versions() -> dict[str, str]:
    """Library -> version, of those that are installed here; SQLite's is that which Python uses."""
    found = {"SQLite": sqlite3.sqlite_version}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
