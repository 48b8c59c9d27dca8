"""strace around a worker: the only way to see every fsync, whoever calls it."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_CALLS = "trace=fsync,fdatasync,syncfs,sync_file_range,msync"


def prefix(log: Path) -> list[str]:
    """What stands before a command to log its fsyncs, those of its children too."""
    return _prefix(log, _halts() or ())


@functools.cache
def unavailable() -> str:
    """Why fsyncs cannot be counted here; empty if they can. Asked once."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    return "strace may not trace here" if _halts() is None else ""


def _prefix(log: Path, halts: Sequence[str]) -> list[str]:
    return ["strace", "-f", *halts, "-qq", "-e", _CALLS, "-o", str(log), "--"]


@functools.cache
def _halts() -> Sequence[str] | None:
    """The options under which strace traces here; None if it does not.

    Strace 5.3 has the kernel halt a process at the calls that it logs, not at every one: a body of
    many system calls takes a quarter of the time.
    """
    with tempfile.TemporaryDirectory(prefix="gate-strace-") as folder:
        for halts in (["--seccomp-bpf"], []):
            command = [*_prefix(Path(folder) / "log", halts), sys.executable, "-c", ""]
            if subprocess.run(command, capture_output=True).returncode == 0:
                return halts
    return None
