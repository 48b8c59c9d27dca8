"""The CPU clocks: a tree clock agrees with what the processes of the tree say they used."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from typing import Self

import pytest

from benchmarks.gate import clocks
from benchmarks.gate.errors import UsageError

BURN_S = 0.12
SLACK_S = 0.08  # starting and ending processes, ticks: less than another burn

# Burns CPU as told, and answers with the CPU seconds that its tree used for it.
CHILD = """
import subprocess, sys, threading, time

def burn(seconds):
    start = time.thread_time()
    while time.thread_time() - start < seconds:
        pass

kept = []
print(time.process_time(), flush=True)
for line in sys.stdin:
    what, seconds = line.split()
    seconds = float(seconds)
    start = time.process_time()
    below = 0.0
    if what == "burn":
        burn(seconds)
    elif what == "thread":
        thread = threading.Thread(target=burn, args=(seconds,))
        thread.start()
        thread.join()
    else:
        command = [sys.executable, "-I", "-S", "-c", sys.argv[1], sys.argv[1]]
        child = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
        below = float(child.stdout.readline())
        child.stdin.write(f"burn {seconds}\\n")
        child.stdin.flush()
        below += float(child.stdout.readline())
        if what == "reap":
            child.communicate()
        else:
            kept.append(child)
    print(time.process_time() - start + below, flush=True)
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Child:
    """A child process that burns CPU on command and says how much."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", "-c", CHILD, CHILD]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.used_s = 0.0
        self._hear()

    def tell(self, what: str, seconds: float = BURN_S) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what} {seconds}\n")
        self.process.stdin.flush()
        self._hear()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        self.used_s += float(self.process.stdout.readline())

    def end(self, *, reap: bool = True) -> None:
        """Let it end; without `reap` it stays a zombie."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
            self.process.stdout.read()  # until it has ended, or nearly
            self.process.stdout.close()
        if reap:
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


@pytest.fixture
def tree() -> clocks.TreeClock:
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    clock = clocks.clock("tree")
    assert isinstance(clock, clocks.TreeClock)
    return clock


def assert_close(grown_ns: int, said_s: float) -> None:
    assert said_s - SLACK_S <= grown_ns / 1e9 <= said_s + SLACK_S


@pytest.mark.parametrize("what", ["burn", "thread", "reap"])
def test_a_child_that_ends_within_is_counted_once(tree: clocks.TreeClock, what: str) -> None:
    start = tree()
    with Child() as child:
        child.tell(what)
    assert child.used_s >= BURN_S
    assert_close(tree() - start, child.used_s)


@pytest.mark.parametrize("what", ["burn", "thread", "keep", "reap"])
def test_a_child_that_lives_on_is_counted_each_time(tree: clocks.TreeClock, what: str) -> None:
    with Child() as child:
        for _ in range(2):
            start, said = tree(), child.used_s
            child.tell(what)
            assert_close(tree() - start, child.used_s - said)


def test_its_own_threads_are_seen(tree: clocks.TreeClock) -> None:
    start, own = tree(), time.process_time()
    thread = threading.Thread(target=sum, args=(range(3 * 10**6),))
    thread.start()
    thread.join()
    said_s = time.process_time() - own
    assert tree() - start == pytest.approx(said_s * 1e9, rel=0.5)


def test_ending_and_being_reaped_adds_nothing(tree: clocks.TreeClock) -> None:
    with Child() as child:
        child.tell("burn")
        child.tell("reap")
        living = tree()
        child.end(reap=False)
        zombie = tree()
        child.end()
        assert_close(zombie - living, 0.0)
        assert_close(tree() - zombie, 0.0)


def test_a_child_that_is_reaped_late_is_counted_when_it_worked(tree: clocks.TreeClock) -> None:
    start = tree()
    with Child() as child:
        child.tell("burn")
        child.end(reap=False)
        assert_close(tree() - start, child.used_s)


@linux
def test_no_reading_is_torn_by_a_child_reaped_meanwhile() -> None:
    readings, done = [clocks.tree_ns()], threading.Event()

    def read() -> None:
        while not done.is_set():
            readings.append(clocks.tree_ns())

    reader = threading.Thread(target=read)
    reader.start()
    said_s, own = 0.0, time.process_time()
    for _ in range(4):
        with Child() as child:
            child.tell("burn", 0.05)
        said_s += child.used_s
    done.set()
    reader.join()
    readings.append(clocks.tree_ns())
    falls = [before - now for before, now in itertools.pairwise(readings)]
    assert max(falls) < 10**6  # whole microseconds are rounded; a child would be 50 ms
    assert_close(readings[-1] - readings[0], said_s + time.process_time() - own)


def test_its_own_readings_are_left_out(tree: clocks.TreeClock) -> None:
    with Child():
        tree()
        start, spent = tree(), time.thread_time_ns()
        for _ in range(100):
            tree()
        assert tree() - start < (time.thread_time_ns() - spent) / 2


def test_it_never_goes_backwards(tree: clocks.TreeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grandchild's last hundredths of a second may vanish when its parent reaps it."""
    values = iter([10**12, 10**12 - 10**7, 10**12 + 10**9])
    monkeypatch.setattr(clocks, "tree_ns", lambda: next(values))
    first, second, third = tree(), tree(), tree()
    assert first == second < third


def test_outside_linux_a_reaped_child_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resource")
    monkeypatch.setattr(sys, "platform", "darwin")
    clock = clocks.clock("tree")
    start = clock()
    with Child() as child:
        child.tell("burn")
    assert_close(clock() - start, child.used_s)


def test_thread_and_process() -> None:
    assert clocks.clock("thread") is time.thread_time_ns
    assert clocks.clock("process") is time.process_time_ns


def test_another_name_is_refused() -> None:
    with pytest.raises(UsageError, match="'wall', expected one of thread, process, tree"):
        clocks.clock("wall")
