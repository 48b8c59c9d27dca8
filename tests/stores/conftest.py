"""What the tests of the stores share: signatures from seeds, and Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import optimizer

if TYPE_CHECKING:
    from optimizer.stores.optuna_storage import SQLiteStorage

pytest.register_assert_rewrite(
    *("store_contract", "contract_claims", "contract_evaluations", "contract_records"),
    *("faulty_files", "storage_files", "storage_proxies", "trial_files", "whole_stores"),
)

ROOT = Path(optimizer.__file__).parents[1]

PRELUDE = """
import os, sys
from optimizer.errors import *
from optimizer import errors
from optimizer.stores.guard import NoDupeGuard
def sig(number):
    return int(number).to_bytes(16, "big")
path = sys.argv[1]
"""


def start_python(script: str, path: Path, *args: object) -> subprocess.Popen[str]:
    """Start `script` in a fresh interpreter; it finds `path`, `sig` and NoDupeGuard defined."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + script, str(path), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run_python(script: str, path: Path, *args: object, timeout_s: float = 60) -> str:
    """Run it to its end; what it printed. Fails if it fails."""
    process = start_python(script, path, *args)
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    assert err == ""
    return out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's file will be; there is none yet."""
    return tmp_path / "study.db"


@pytest.fixture
def open_storage(path: Path) -> Iterator[Callable[..., SQLiteStorage]]:
    """Opens that file as an Optuna storage, any number of times; all are closed at the end."""
    from optimizer.stores.optuna_storage import SQLiteStorage  # most tests here need no Optuna

    opened = []

    def open_one(**settings: Any) -> SQLiteStorage:
        opened.append(SQLiteStorage(path, **settings))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.close()


@pytest.fixture
def run() -> Callable[..., str]:
    return run_python


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    return start_python


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        folder.chmod(0o777)
