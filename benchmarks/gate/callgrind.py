"""Machine instructions of one call, counted by valgrind's callgrind.

The worker runs inside valgrind, which counts only between two requests that the worker makes
around the body. A request is a few instructions that valgrind recognises and a processor ignores;
they are put into memory here, so that no compiler is needed.

What is counted: instructions of user code, of every thread (valgrind runs one at a time).
Not counted: the kernel, and child processes. Valgrind shows every program the same processor (one
with AVX2, without AVX-512), so the code that numba or OpenBLAS choose is not quite the one that
runs outside. Blind spots: cache misses, sleeping, fsync. CPU time and strace see those.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .contract import Body
from .errors import NotMeasuredError

VERSION = 1  # of the way of counting; counts of different versions are never compared
LARGEST = 100  # functions that `details` names
SETTLED_RATIO = 1e-4  # a count that differs less from the one before it is repeatable
MOST_CALLS = 40  # of a body that does not settle

# Client requests of callgrind.h: 'C' and 'T' in the two upper bytes.
_DUMP, _ZERO, _START, _STOP = (0x43540000 + n for n in (0, 1, 4, 5))
_RUNNING_ON_VALGRIND = 0x1001

# Features that valgrind passes on from the real processor, and so decide which code runs.
_PASSED_ON = ("cx16", "sse3", "avx", "avx2", "bmi1", "f16c", "lzcnt", "abm", "rdrand", "rdseed")


def prefix(log: Path) -> list[str]:
    """What stands before a worker's command; its dumps go to `log` with a number behind it."""
    return [
        "valgrind",
        "--command-line-only=yes",  # nothing of ~/.valgrindrc or VALGRIND_OPTS
        "--tool=callgrind",
        "--quiet",
        "--vgdb=no",
        "--trace-children=no",
        "--instr-atstart=no",
        f"--callgrind-out-file={log}",
        "--dump-line=no",
        "--separate-threads=no",
        "--separate-recs=1",  # else a recursive function has two names
        "--",
    ]


@functools.cache
def unavailable() -> str:
    """Why instructions cannot be counted here; empty if they can. Asked once."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        return f"instructions are counted on Linux x86_64 only, this is {machine}"
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    with tempfile.TemporaryDirectory(prefix="gate-callgrind-") as folder:
        command = [*prefix(Path(folder) / "log"), sys.executable, "-S", "-c", ""]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        return f"valgrind may not run {sys.executable} here: {' '.join(last)}"
    return ""


@functools.cache
def identity() -> str:
    """What stored counts depend on: valgrind, this build of Python, libc, and the processor.

    Valgrind imitates one processor whatever the real one is, so its model does not matter.
    """
    done = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    libc = os.confstr("CS_GNU_LIBC_VERSION")
    return f"{VERSION}; {done.stdout.strip()}; {sys.version}; {libc}; {_processor()}"


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^flags\s*:(.*)$", text, flags=re.MULTILINE)
    has = set(found[1].split()) if found else set()
    return " ".join([platform.machine(), *(name for name in _PASSED_ON if name in has)])


class InstructionCounter:
    """Counts the instructions of a body; lives in a process started with `prefix`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._start = _request(_START)
        self._stop = _request(_STOP)
        self._dump = _request(_DUMP)
        if _request(_RUNNING_ON_VALGRIND)() != 1:
            raise NotMeasuredError("this process does not run under valgrind: start it by `prefix`")

    def count(self, body: Body) -> dict[str, int]:
        """Instructions of one `after` call from a fresh state."""
        return {"instructions": self._profile(body).total}

    def details(self, body: Body) -> dict[str, dict[str, int]]:
        """Instructions of the largest functions, each without those it calls."""
        functions = self._profile(body).functions
        largest = sorted(functions, key=lambda name: (-functions[name], name))[:LARGEST]
        return {"functions": {name: functions[name] for name in largest}}

    def _profile(self, body: Body) -> Profile:
        body.fresh()
        after, start, stop = body.after, self._start, self._stop
        try:
            start()
            after()
        finally:
            stop()
            text = self._dumped()
        return parse(text.splitlines())

    def _dumped(self) -> str:
        self._dump()
        parts = list(self._log.parent.glob(f"{self._log.name}.*"))
        text = "".join(part.read_text(encoding="utf-8", errors="replace") for part in parts)
        for part in parts:
            part.unlink()
        if len(parts) != 1:
            raise NotMeasuredError(f"valgrind wrote {len(parts)} dumps at {self._log}, expected 1")
        return text


def _request(code: int) -> Callable[[], int]:
    """A function that makes a client request; outside valgrind it does nothing and returns 0."""
    arguments = (ctypes.c_uint64 * 6)(code)
    machine_code = (
        b"\x48\xb8"
        + ctypes.addressof(arguments).to_bytes(8, "little")  # mov rax, arguments
        + bytes.fromhex("31d2")  # xor edx, edx: the answer outside valgrind
        + bytes.fromhex("48c1c703 48c1c70d 48c1c73d 48c1c733")  # rol rdi, 3; 13; 61; 51
        + bytes.fromhex("4887db")  # xchg rbx, rbx
        + bytes.fromhex("4889d0 c3")  # mov rax, rdx; ret
    )
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(machine_code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    function = ctypes.PYFUNCTYPE(ctypes.c_uint64)(address)
    vars(function)["kept"] = (arguments, memory)
    return function


_POSITION = frozenset("0123456789+-*")


@dataclass
class Profile:
    """Instructions of one dump."""

    total: int
    functions: dict[str, int]  # each without what it calls


_LINE = re.compile(r"(c?(?:fn|ob))=\((\d+)\)(?: (.*))?$")


def parse(lines: Iterable[str]) -> Profile:
    """Read a dump in callgrind's format; `NotMeasuredError` if it is not whole."""
    names: dict[tuple[str, str], str] = {}  # a name is written out once, then only its number
    costs: Counter[tuple[str, str]] = Counter()
    function = library = ""
    total: int | None = None
    lines = iter(lines)
    for line in lines:
        if line[:1] in _POSITION:
            _, _, cost = line.partition(" ")
            costs[function, library] += int(cost or 0)
        elif found := _LINE.match(line):
            kind, number, name = found.groups()
            key = (kind[-2:], number)
            if name is not None:
                names[key] = name
            if kind == "fn":
                function = names[key]
            elif kind == "ob":
                library = names[key]
        elif line.startswith("calls="):
            next(lines, "")  # what the callee cost
        elif line.startswith("events:") and line.split()[1:] != ["Ir"]:
            raise NotMeasuredError(f"valgrind counted {line!r}, expected instructions only: Ir")
        elif line.startswith("totals:"):
            total = int(line.split()[1])
    functions: Counter[str] = Counter()
    for (function, library), spent in costs.items():
        functions[_readable(function, library)] += spent
    if total is None or functions.total() != total:
        raise NotMeasuredError(
            f"valgrind's dump says {total} instructions, its functions {functions.total()}: "
            f"it was not written to its end"
        )
    return Profile(total, dict(functions))


def _readable(function: str, library: str) -> str:
    """The name; a function without one is called after its library."""
    if not function.startswith("0x"):
        return function
    return f"{Path(library).name}: no name" if library != "???" else "compiled at run time"
