"""Armed processes with a memray that only notes when it begins and ends: quick, and needs none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from looking import LIMIT_S
from script_modules import script_module

armed = script_module("_armed")
study_memory = script_module("study_memory")

MEMRAY = """
import os

class Tracker:
    def __init__(self, path, **options):
        if os.environ.get("FULL"):
            raise OSError("no space left")
        self.path = path

    def __enter__(self):
        open(self.path, "w").close()

    def __exit__(self, *details):
        open(f"{self.path}.{os.getpid()}.ended", "w").close()
"""


@contextlib.contextmanager
def living(folder: Path, code: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A process that runs the code, as soon as it has said `ready`, and what it was armed with."""
    folder.chmod(0o700)
    library = folder.parent / f"{folder.name}-library"
    library.mkdir()
    (library / "memray.py").write_text(MEMRAY)
    variables = {
        **os.environ,
        "PYTHONPATH": f"{study_memory.HOOK}{os.pathsep}{library}",
        "VELOCITY_PROFILE_MARKS": str(folder),
        "VELOCITY_PROFILE_MEMORY": str(folder),
        "VELOCITY_PROFILE_PYTHON": sys.executable,
        "VELOCITY_PROFILE_SIGNAL": str(int(armed.SIGNAL)),
        **environ,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process, armed.find(process.pid)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=LIMIT_S)


def ended(process: subprocess.Popen[str]) -> int:
    """Let it end by closing its input; returns its exit code."""
    process.communicate(timeout=LIMIT_S)
    return process.returncode
