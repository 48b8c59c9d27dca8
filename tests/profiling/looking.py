"""What tests that look at live processes share: waiting with a limit, and whether they may look."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

PY_SPY = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
LIMIT_S = 60.0
SLEEP = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]


def until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait for something that must come; the limit is for a test that has gone wrong."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)  # leaves the processor to what is waited for


@functools.cache
def why_not() -> str:
    """Why py-spy may not look here at a process that it did not start; empty where it may."""
    if PY_SPY is None:
        return "py-spy is not installed"
    if not Path("/proc/self/statm").exists():
        return "there is no /proc"
    target = subprocess.Popen(SLEEP, stdin=subprocess.PIPE)
    try:
        line = [PY_SPY, "dump", "--pid", str(target.pid)]
        for _ in range(5):  # the target may still be starting
            done = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_S)
            if done.returncode == 0:
                return ""
            time.sleep(0.3)
        return f"py-spy may not look here: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    finally:
        target.communicate()


def skip_unless_permitted() -> None:
    if reason := why_not():
        pytest.skip(reason)


@contextlib.contextmanager
def living(command: Sequence[str] = SLEEP) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its input; it is gone afterwards, whatever happens."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)
