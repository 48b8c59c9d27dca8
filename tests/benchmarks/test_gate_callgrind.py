"""Instruction counts: the reader of callgrind's format, and counts that are known by hand."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from benchmarks.gate import callgrind
from benchmarks.gate.contract import Body
from benchmarks.gate.errors import NotMeasuredError

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).resolve().parents[2]
LOOP = 400_000  # instructions
AGAIN = ("spin", "loop", "litter", "table", "blocks")  # counted in a second process, too

# Written after a real dump: names once, then numbers; a call's line is what the callee cost.
DUMP = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 1
cmd:  python
part: 1

desc: Trigger: Client Request

positions: line
events: Ir
summary: 1000

ob=(1) /lib/libpython3.so
fl=(1) ceval.c
fn=(1) eval
0 100
cob=(2) /lib/libc.so.6
cfi=(2) string.c
cfn=(2) memcpy
calls=3 0
0 700
+1 40
fi=(3) inlined.h
* 10
fe=(1)
-1 50
0

fn=(3) 0x00000000000a1b20
0 5

ob=(2)
fl=(2)
fn=(2)
0 690

fn=(4) 0x00000000000c3d40
0 5

ob=(3) ???
fl=(3) ???
fn=(5) 0x0000000004a5b6c0
0 60

ob=(1)
fl=(1)
fn=(1)
0 40

totals: 1000
"""

# realloc calls malloc, which must not count twice; two libraries have a malloc of their own.
ALLOCATING = """\
ob=(1) /lib/libpython3.so
fn=(1) eval
0 10
cob=(2) /lib/libc.so.6
cfn=(2) malloc
calls=2 0
0 30
cfn=(3) memcpy
calls=1 0
0 7
cfn=(4) realloc
calls=1 0
* 500

fn=(4)
0 60
cfn=(2)
calls=1 0
+3 400
cfn=(3)
calls=1 0
0 40

fn=(5) list_resize
0 3
cfn=(2)
calls=1 0
-2 20
+1 4
cob=(3) /lib/libother.so
cfn=(6) malloc
calls=1 0
0 6

fn=(7) mallocate
0 1
totals: 1081
"""

SCRIPT = """
import ctypes, json, mmap, os, sys, threading
from pathlib import Path
from benchmarks.gate import callgrind
from benchmarks.gate.callgrind import InstructionCounter
from benchmarks.gate.errors import NotMeasuredError

memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex("48ffcf 75fb c3"))  # dec rdi; jnz back; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
spin = ctypes.PYFUNCTYPE(None, ctypes.c_uint64)(address)

class Body:
    def __init__(self, after, fresh=lambda: None):
        self.after, self.fresh = after, fresh

def loop(n):
    def run():
        total = 0
        for i in range(n):
            total += i
        return total
    return run

def table():  # grows by blocks that malloc takes from the whole heap
    found = {}
    for i in range(300):
        found[i * 7919] = [i]

kept = []
def blocks():  # larger than what malloc keeps in lists of their size
    previous = []
    for i in range(200):
        previous.append(bytes(1_100 + i * 97 % 7_000))
        if i % 3 == 0:
            del previous[len(previous) // 2]

def litter():  # leaves free blocks of many sizes all over the heap
    kept.append([bytes(i % 500) for i in range(3_000)][::2])
    kept.append([bytes(900 + i * 31 % 6_000) for i in range(3_000)][::2])

def threaded():
    thread = threading.Thread(target=spin, args=(LOOP // 2,))
    thread.start()
    thread.join()

def forked():
    child = os.fork()
    if child == 0:
        spin(LOOP // 2)
        os._exit(0)
    os.waitpid(child, 0)

class Late(Body):  # raises in the second call that is counted
    calls = 0

    def __init__(self):
        super().__init__(self.call)

    def call(self):
        self.calls += 1
        if self.calls == callgrind.WARM_CALLS + 2:
            raise ArithmeticError("on purpose")
        spin(LOOP // 2)

LOOP = int(sys.argv[2])
counter = InstructionCounter(Path(sys.argv[1]))
bodies = {
    "nothing": Body(lambda: None, lambda: spin(LOOP // 2)),
    "forgotten": Body(lambda: None, sys._clear_type_cache),
    "spin": Body(lambda: spin(LOOP // 2)),
    "spin twice": Body(lambda: spin(LOOP)),
    "loop": Body(loop(1_000)),
    "loop + 1%": Body(loop(1_010)),
    "table": Body(table),
    "blocks": Body(blocks),
    "litter": Body(litter),
    "threaded": Body(threaded),
    "forked": Body(forked),
}
wanted = sys.argv[3:] or bodies
counts = {name: counter.count(bodies[name])["instructions"] for name in wanted}
late = Late()
try:
    counter.count(late)
except ArithmeticError:
    counts["spin after an error"] = counter.count(bodies["spin"])["instructions"]
callgrind.LARGE = LOOP // 4
late.calls = 0
counts["large"] = counter.count(late)["instructions"]
details = counter.details(bodies["spin"])["functions"]
left = os.listdir(os.path.dirname(sys.argv[1]))
try:
    InstructionCounter(Path(sys.argv[1] + "-elsewhere")).count(bodies["nothing"])
except NotMeasuredError as error:
    counts["no dump"] = "wrote no dump" in str(error)
print(json.dumps([counts, details, left]))
"""


def test_own_costs_by_function() -> None:
    profile = callgrind.parse(DUMP.splitlines())
    assert profile.total == 1_000
    assert profile.functions == {
        "eval": 240,
        "memcpy": 690,
        "libpython3.so: no name": 5,
        "libc.so.6: no name": 5,
        "compiled at run time": 60,
    }


def test_calls_into_the_allocator_are_told_apart() -> None:
    assert callgrind.allocator_of(ALLOCATING) == 30 + 500 + 20 + 6
    assert callgrind.allocator_of(DUMP) == 0


def test_the_total_stands_at_the_end() -> None:
    assert callgrind.total_of(DUMP) == 1_000
    with pytest.raises(NotMeasuredError, match="no total at its end"):
        callgrind.total_of(DUMP.partition("totals:")[0])


@pytest.mark.parametrize(
    "text",
    [
        DUMP.partition("totals:")[0],  # torn
        DUMP.replace("0 690\n", ""),  # with a hole
        DUMP.replace("events: Ir", "events: Dr Ir"),
        "",
    ],
)
def test_a_dump_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(NotMeasuredError):
        callgrind.parse(text.splitlines())


class Counted:
    """A body that counts its calls."""

    def __init__(self, after: Callable[[], object]) -> None:
        self.work, self.calls = after, 0

    def fresh(self) -> None: ...

    def after(self) -> None:
        self.calls += 1
        self.work()


def test_a_body_that_waits_is_warmed_up_as_often_as_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callgrind, "WARM_S", 0.02)
    waits, works = Counted(lambda: time.sleep(0.01)), Counted(lambda: sum(range(10**6)))
    for body in (waits, works):
        callgrind.warm_up(cast("Body", body))
    assert waits.calls == callgrind.WARM_CALLS
    assert works.calls < callgrind.WARM_CALLS


def test_elsewhere_it_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert "arm64" in callgrind.unavailable.__wrapped__()
    with pytest.raises(NotMeasuredError, match="arm64"):
        callgrind.InstructionCounter(tmp_path / "log")


def test_without_valgrind_it_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if callgrind._foreign():
        pytest.skip(callgrind._foreign())
    with pytest.raises(NotMeasuredError, match="does not run under valgrind"):
        callgrind.InstructionCounter(tmp_path / "log")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert callgrind.unavailable.__wrapped__() == "valgrind is not installed"


Answer = tuple[dict[str, int], dict[str, int]]


def ask(folder: Path, *names: str) -> Answer:
    """What a fresh process under callgrind counts, of some bodies or of all."""
    folder.mkdir()
    log = folder / "log"
    command = [*callgrind.prefix(log), sys.executable, "-S", "-c", SCRIPT, str(log), str(LOOP)]
    command += names
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts, details, left = json.loads(done.stdout)
    assert not [name for name in left if name != "log"]  # each dump is deleted
    return counts, details


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Answer, Answer]:
    if callgrind.unavailable():
        pytest.skip(callgrind.unavailable())
    folder = tmp_path_factory.mktemp("callgrind")
    return ask(folder / "1"), ask(folder / "2", *AGAIN)


@pytest.fixture
def counts(twice: tuple[Answer, Answer]) -> dict[str, int]:
    return twice[0][0]


def test_known_instructions_are_counted(counts: dict[str, int]) -> None:
    found = counts["spin twice"] - counts["spin"]
    assert found == pytest.approx(LOOP, rel=1e-3)  # the interpreter takes a few more or less


def test_neither_the_counter_nor_fresh_is_counted(counts: dict[str, int]) -> None:
    assert 0 < counts["nothing"] < 20_000


def test_the_counter_looks_nothing_up_that_may_be_forgotten(counts: dict[str, int]) -> None:
    """Where names lie decides which of them the interpreter's cache keeps."""
    assert counts["forgotten"] == pytest.approx(counts["nothing"], abs=100)


def test_threads_are_counted_and_children_are_not(counts: dict[str, int]) -> None:
    assert counts["threaded"] > LOOP
    assert counts["forked"] < LOOP


def test_one_percent_more_work_is_seen(counts: dict[str, int]) -> None:
    work = counts["loop"] - counts["nothing"]
    more = counts["loop + 1%"] - counts["nothing"]
    assert 0.009 < more / work - 1 < 0.011


def test_an_error_of_the_body_leaves_the_counter_whole(counts: dict[str, int]) -> None:
    assert counts["spin after an error"] == pytest.approx(counts["spin"], rel=1e-3)


def test_a_large_body_is_counted_once(counts: dict[str, int]) -> None:
    """This one raises if it is called again."""
    assert LOOP < counts["large"] < 1.5 * LOOP


def test_without_a_dump_it_refuses(counts: dict[str, int]) -> None:
    assert counts["no dump"] is True


def test_counts_repeat_in_another_process(twice: tuple[Answer, Answer]) -> None:
    (first, _), (second, _) = twice
    for name in AGAIN[:2]:  # after other bodies, so that memory lies elsewhere
        assert first[name] == pytest.approx(second[name], rel=1e-3, abs=200), name


@pytest.mark.parametrize("name", ["table", "blocks"])
def test_free_blocks_all_over_the_heap_change_nothing(
    twice: tuple[Answer, Answer], name: str
) -> None:
    (clean, _), (littered, _) = twice
    assert littered[name] == pytest.approx(clean[name], rel=1e-3)


def test_details_name_the_functions(twice: tuple[Answer, Answer]) -> None:
    counts, functions = twice[0]
    assert len(functions) <= callgrind.LARGEST
    assert list(functions.values()) == sorted(functions.values(), reverse=True)
    assert functions["_PyEval_EvalFrameDefault"] > 0
    assert LOOP <= max(functions.values()) < 1.01 * LOOP  # the loop's; its caller's are not in it
    assert sum(functions.values()) == pytest.approx(counts["spin"], rel=1e-2)


def test_identity_names_what_counts_depend_on() -> None:
    if callgrind.unavailable():
        pytest.skip(callgrind.unavailable())
    found = callgrind.identity()
    assert found == callgrind.identity.__wrapped__()
    for part in ("valgrind-", sys.version, "x86_64"):
        assert part in found
