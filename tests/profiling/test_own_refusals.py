"""What our own sampler cannot read, it says."""

from __future__ import annotations

import ctypes
import errno
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from looking import until
from script_modules import script_module

layouts: Any = script_module("_layouts")
remote: Any = script_module("_remote")
symbols: Any = script_module("_symbols")


def test_other_versions_are_unknown() -> None:
    for version, said in (
        (0, "older than 3.11"),
        (0x030A00F0, "older than 3.11"),
        (0x030E01F0, "Python 3.14.1"),
        (0x030C00B2, "Python 3.12.0 before its release"),
    ):
        with pytest.raises(layouts.Unknown, match=said):
            layouts.of(0, 0, version)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({0: 7}, "does not tell its offsets"),
        ({1: 0x030D01F0}, "another version"),
        ({2: 1}, "without the GIL"),
    ],
)
def test_a_python_that_tells_odd_offsets_is_unknown(words: dict[int, int], said: str) -> None:
    cookie = struct.unpack("<Q", b"xdebugpy")[0]
    table = [cookie, 0x030D00F0] + [0] * 69
    for place, value in words.items():
        table[place] = value
    with pytest.raises(layouts.Unknown, match=said):
        layouts._told(struct.pack("<71Q", *table), 0x030D00F0)


# A process' files are found by /proc, which macOS and Windows do not have; any Python will do.
@pytest.mark.skipif(
    not Path("/proc/self/exe").exists(),
    reason="symbols are those of a process on Linux",
)
def test_a_program_without_python_has_no_symbols() -> None:
    sleep = subprocess.Popen(["sleep", "60"])
    try:
        until(lambda: Path(f"/proc/{sleep.pid}/exe").resolve().name != "python")
        with pytest.raises(symbols.NoPython):
            symbols.of(sleep.pid)
    finally:
        sleep.kill()
        sleep.wait()
    with pytest.raises(remote.Gone):
        symbols.of(sleep.pid)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EPERM, "Forbidden"),
        (errno.ESRCH, "Gone"),
        (errno.EFAULT, "Unmapped"),
    ],
)
def test_refusals_of_the_kernel_are_told_apart(
    number: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*unused: object) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(remote, "_readv", refused)
    ways: tuple[Callable[[], object], ...] = (
        lambda: remote.read(1, 4096, 8),
        lambda: remote.Pieces(1, [(4096, 8)]).read(),
    )
    for read in ways:
        with pytest.raises(getattr(remote, expected)):
            read()
