"""strace around a worker: the only way to see every fsync, whoever calls it."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_CALLS = "trace=fsync,fdatasync,syncfs,sync_file_range,msync"


def prefix(log: Path) -> list[str]:
    """What stands before a command to log its fsyncs, those of its children too."""
    return ["strace", "-f", "-qq", "-e", _CALLS, "-o", str(log), "--"]


@functools.cache
def unavailable() -> str:
    """Why fsyncs cannot be counted here; empty if they can. Asked once."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with tempfile.TemporaryDirectory(prefix="gate-strace-") as folder:
        command = [*prefix(Path(folder) / "log"), sys.executable, "-c", ""]
        traced = subprocess.run(command, capture_output=True).returncode == 0
        return "" if traced else "strace may not trace here"
