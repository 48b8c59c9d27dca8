"""Machine instructions of one call, counted by valgrind's callgrind.

The worker runs inside valgrind, which counts only between two requests that the worker makes
around the body. A request is a few instructions that valgrind recognises and a processor ignores;
they are put into memory here, so that no compiler is needed.

What is counted: instructions of user code, of every thread (valgrind runs one at a time).
Not counted: the kernel, child processes, and what happens inside malloc and free: how long they
search, and whether calloc clears or realloc copies, depends on all that the process did before
(the memory witness counts allocations, CPU time sees what they cost). Valgrind
shows every program the same processor (one with AVX2, without AVX-512), so the code that numba or
OpenBLAS choose is not quite the one that runs outside; and Python takes its memory from libc here,
which repeats better.
Blind spots: cache misses, sleeping, fsync. CPU time and strace see those.
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
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .contract import Body
from .errors import NotMeasuredError

VERSION = 4  # of the way of counting; counts of different versions are never compared
LARGEST = 100  # functions that `details` names
WARM_CALLS = 11  # the interpreter specialises code during its first calls: 8 are needed on 3.11
WARM_S = 3.0  # of CPU time; as many calls as fit in it: a long body runs each line often by itself
LARGE = 50_000_000  # instructions of a body that is counted once

_ALLOCATOR = ("malloc", "free", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc")

# Client requests of callgrind.h: 'C' and 'T' in the two upper bytes.
_DUMP, _ZERO, _START, _STOP = 0x43540000, 0x43540001, 0x43540004, 0x43540005
_RUNNING_ON_VALGRIND = 0x1001

# Features, by their names in /proc/cpuinfo, that valgrind passes on from the real processor.
_PASSED_ON = ("pni", "ssse3", "cx16", "avx", "avx2", "bmi1", "f16c", "abm", "rdrand", "rdseed")


def prefix(log: Path) -> list[str]:
    """What stands before a worker's command; its dumps go to `log` with a number behind it."""
    return [
        "env",
        # libc's malloc: with Python's own, a small loop costs more wherever the objects it frees
        # happen to be the last ones of their pool.
        "PYTHONMALLOC=malloc",
        # Freed blocks wait in lists of their own size, so that free seldom merges them with their
        # neighbors: what is left beside the calls that are not counted repeats better, too.
        "GLIBC_TUNABLES=glibc.malloc.tcache_count=65535:glibc.malloc.mxfast=0",
        "valgrind",
        "--command-line-only=yes",  # nothing of ~/.valgrindrc or VALGRIND_OPTS
        "--tool=callgrind",
        "--quiet",
        "--vgdb=no",
        "--trace-children=no",
        "--instr-atstart=no",
        f"--callgrind-out-file={log}",
        "--separate-threads=no",
        "--separate-recs=1",  # else a recursive function has two names
        "--",
    ]


@functools.cache
def unavailable() -> str:
    """Why instructions cannot be counted here; empty if they can. Asked once."""
    if reason := _foreign():
        return reason
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    with tempfile.TemporaryDirectory(prefix="gate-callgrind-") as folder:
        command = [*prefix(Path(folder) / "log"), sys.executable, "-S", "-c", ""]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        return f"valgrind may not run {sys.executable} here: {' '.join(last)}"
    return ""


def _foreign() -> str:
    """Why the requests below would be the wrong machine code here; empty if they are right."""
    machine = f"{platform.system()} {platform.machine()}"
    if machine == "Linux x86_64" and sys.maxsize > 2**32:
        return ""
    return f"instructions are counted on Linux x86_64 only, this is {machine}"


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
        if reason := _foreign():
            raise NotMeasuredError(reason)
        self._log = log
        self._start = _request(_START)
        self._stop = _request(_STOP)
        self._zero = _request(_ZERO)
        self._dump = _request(_DUMP)
        self._written = 0  # dumps
        if _request(_RUNNING_ON_VALGRIND)() != 1:
            raise NotMeasuredError("this process does not run under valgrind: start it by `prefix`")

    def count(self, body: Body) -> dict[str, int]:
        """Instructions of one `after` call from a fresh state, once it has settled.

        The fewer of two calls, unless the body is large: `sqlite3` forgets its dead cursors in
        every other call of some bodies, and what was called before (other cases, in another
        order) leaves caches behind. So work that a body does in every other call is not seen.
        """
        warm_up(body)
        dumps = self._dumps(body, 2)
        return {"instructions": min(total_of(dump) - allocator_of(dump) for dump in dumps)}

    def details(self, body: Body) -> dict[str, dict[str, int]]:
        """Instructions of the largest functions of one call, each without those it calls.

        Call it after `count`, when the body has settled.
        """
        (dump,) = self._dumps(body, 1)
        functions = parse(dump.splitlines()).functions
        largest = sorted(functions, key=lambda name: (-functions[name], name))[:LARGEST]
        return {"functions": {name: functions[name] for name in largest}}

    def _dumps(self, body: Body, most: int) -> list[str]:
        """What valgrind counted in each of `most` calls, or in one if the body is large.

        Counting is switched on and off once for all: each time, valgrind translates all code anew.
        """
        # Through C, so that valgrind sees the call that enters the interpreter's loop.
        after = functools.partial(body.after)
        files: list[Path] = []
        body.fresh()
        try:
            self._start()
            files.append(self._dump_of(after))
            while len(files) < most and total_of(_end_of(files[-1])) < LARGE:
                body.fresh()
                files.append(self._dump_of(after))
        finally:
            self._stop()
            texts = [_taken(file) for file in files]
        if foreign := sorted(self._log.parent.glob(f"{self._log.name}.*")):
            raise NotMeasuredError(
                f"valgrind wrote {foreign[0]} that nobody asked for: the body, or what it calls, "
                f"makes requests of callgrind itself"
            )
        return texts

    def _dump_of(self, call: Callable[[], object]) -> Path:
        """The file that valgrind writes on this call; it numbers them.

        No name is looked up in between: what that costs depends on where other names lie.
        """
        zero, dump = self._zero, self._dump
        zero()
        call()
        dump()
        self._written += 1
        return self._log.with_name(f"{self._log.name}.{self._written}")


def warm_up(body: Body) -> None:
    """Call a body until its code has settled.

    How often must not depend on the disk or on the machine's other work: a write-ahead log, say, is
    checkpointed every so many calls. So the limit is on CPU time.
    """
    started = time.process_time()
    for _ in range(WARM_CALLS):
        body.fresh()
        body.after()
        if time.process_time() - started > WARM_S:
            break


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


def _end_of(file: Path) -> str:
    """The last lines of a dump; reading all of it takes long in valgrind."""
    with _opened(file) as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - 100))
        return stream.read().decode(errors="replace")


def _taken(file: Path) -> str:
    with _opened(file) as stream:
        text = stream.read().decode(errors="replace")
    file.unlink()
    return text


def _opened(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except FileNotFoundError:
        raise NotMeasuredError(f"valgrind wrote no dump {file}") from None


_POSITION = frozenset("0123456789+-*")


@dataclass
class Profile:
    """Instructions of one dump."""

    total: int
    functions: dict[str, int]  # each without what it calls


def total_of(dump: str) -> int:
    """The total of a dump, which stands at its end: reading all of it takes long in valgrind."""
    found = re.search(r"^totals: (\d+)$", dump[-100:], flags=re.MULTILINE)
    if found is None:
        raise NotMeasuredError(f"valgrind's dump has no total at its end: {dump[-100:]!r}")
    return int(found[1])


def allocator_of(dump: str) -> int:
    """Instructions of all calls from elsewhere into libc's allocator, with what it calls.

    It looks for these calls alone, since reading every line takes long in valgrind.
    """
    numbers = {number for name in _ALLOCATOR for number in _numbers(dump, name)}
    spent = 0
    for number in numbers:
        for call in _places(dump, f"\ncfn=({number})"):
            caller = dump.rindex("\nfn=(", 0, call) + len("\nfn=(")
            if dump[caller : dump.index(")", caller)] not in numbers:
                cost = dump.index("\n", dump.index("\ncalls=", call) + 1) + 1
                spent += int(dump[cost : dump.index("\n", cost)].rpartition(" ")[2])
    return spent


def _numbers(dump: str, name: str) -> list[str]:
    """The numbers that a dump gives to functions of this name, one for each library."""
    places = _places(dump, f") {name}\n")
    return [dump[dump.rindex("(", 0, place) + 1 : place] for place in places]


def _places(text: str, part: str) -> Iterator[int]:
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + 1)


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
