"""Files that are not as they should be, and folders that must stay as they are."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from optimizer.errors import StoreError
from optimizer.stores.guard import NoDupeGuard

LIMITED = """
import resource, subprocess
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def digest():
    return subprocess.run(["cksum", path], capture_output=True, check=True).stdout
"""
AS_ANOTHER_USER = """
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
def attempt():
    try:
        NoDupeGuard(path).add(sig(1))
    except StoreReadOnlyError as error:
        assert repr(path) in str(error)
        return str(error)
"""


def state_of(folder: Path) -> tuple[list[str], bytes]:
    # In a process of its own: closing a file here would drop the locks this process has on it.
    names = [name for name in sorted(os.listdir(folder)) if not name.endswith("-shm")]
    files = [folder / name for name in names if (folder / name).is_file()]
    hashes = subprocess.run(["cksum", *files], capture_output=True, check=True, input=b"").stdout
    return names, hashes


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Every file of the folder has the same bytes afterwards, and none came or went.

    Not the shared-memory file: it is scratch space of the processes that are running.
    """

    before = state_of(folder)
    yield
    assert state_of(folder) == before


def refuse(path: Path, error: type[StoreError], match: str, study: str = "default") -> None:
    with unchanged(path.parent), pytest.raises(error, match=match) as caught:
        NoDupeGuard(path, timeout_s=0.05, study=study)
    assert repr(str(path)) in str(caught.value)


def whole_store(path: Path, number: int = 5_000) -> bytes:
    rng = random.Random(7)
    with NoDupeGuard(path) as guard:
        guard.add_batch(rng.randbytes(16) for _ in range(number))
    assert os.listdir(path.parent) == [path.name]
    return path.read_bytes()


def killed_copy(path: Path, statements: list[str]) -> None:
    """A file whose last changes lie in its write-ahead log, as a killed program leaves it."""
    living = path.with_name("living.db")
    if path.exists():
        path.rename(living)
    with closing(sqlite3.connect(living, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        for statement in statements:
            raw.execute(statement)
        shutil.copy(living, path)
        shutil.copy(f"{living}-wal", f"{path}-wal")
    living.unlink()
