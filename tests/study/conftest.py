"""What the tests of whole studies share: quiet, spaces, and Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

import optimizer

ROOT = Path(optimizer.__file__).parents[1]

PRELUDE = """
import os, sys, time
import optuna, optimizer
from optuna.trial import TrialState
optuna.logging.set_verbosity(optuna.logging.ERROR)
path = sys.argv[1]
FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}
FOUR = {"a": {"type": "int", "min": 0, "max": 1}, "b": {"type": "int", "min": 0, "max": 1}}
"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def start_python(script: str, *args: object) -> subprocess.Popen[str]:
    """Start `script` after `PRELUDE` in a fresh interpreter."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + script, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run_python(script: str, *args: object, timeout_s: float = 120) -> str:
    """Run it to its end; what it printed. Fails if it fails."""
    process = start_python(script, *args)
    out, err = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def run() -> Callable[..., str]:
    return run_python


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    return start_python
