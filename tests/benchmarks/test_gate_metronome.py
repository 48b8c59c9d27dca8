"""The process that makes a core's scheduler choose anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gate import metronome as its
from benchmarks.gate.metronome import metronome
from benchmarks.gate.outcome import pair_core

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a process can be pinned to a core on Linux only"
)

_BEATS = f"""
import subprocess, sys, time
sys.path.insert(0, {str(Path(its.__file__).parent)!r})
from metronome import metronome
with metronome({pair_core()}):
    print("beating", flush=True)
    time.sleep(60)  # until it is killed, long before
"""


def beating(parent: int) -> set[int]:
    """The metronomes that `parent` started, zombies left out; other tests may run some, too."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended
                continue
            if its.__file__.encode() in words and str(parent).encode() in words:
                found.add(int(process.name))
    return found


def wait_for(parent: int, *, gone: bool) -> set[int]:
    for _ in range(1_000):
        if bool(found := beating(parent)) is not gone:
            return found
        time.sleep(0.01)  # another process's end or start, which cannot be waited for
    return beating(parent)


def test_it_beats_on_its_core_as_long_as_the_block_runs() -> None:
    core, here = pair_core(), os.getpid()
    with metronome(core):
        [pid] = wait_for(here, gone=False)
        for _ in range(1_000):
            if os.sched_getaffinity(pid) == {core}:
                break
            time.sleep(0.01)  # another process's start, which cannot be waited for
        assert os.sched_getaffinity(pid) == {core}
    assert not beating(here)


def test_there_is_none_where_nothing_can_be_pinned() -> None:
    with metronome(None):
        assert not beating(os.getpid())


def test_it_ends_when_whoever_started_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _BEATS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert wait_for(parent.pid, gone=False)
        parent.send_signal(signal.SIGKILL)
    assert not wait_for(parent.pid, gone=True)
