"""A process that makes the scheduler choose anew, twice a millisecond, who runs on one core.

Two sides that share a core are alternated by the scheduler's tick, every 4 ms on many kernels. A
core whose sibling is a busy neighbor's changes its speed faster than that, by half, and then hits
one side of a batch and not the other. Whoever wakes up makes the scheduler choose, so this process
does nothing but sleep, a random while each time: a steady beat would fall in with other clocks.

    python metronome.py CORE PARENT

It ends when PARENT, which started it, has.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHORTEST_S, LONGEST_S = 0.0001, 0.0009


@contextmanager
def metronome(core: int | None) -> Iterator[None]:
    """Let one beat on `core` for as long as the block runs; none without a core to pin it to."""
    if core is None:
        yield
        return
    command = [sys.executable, "-I", "-S", __file__, str(core), str(os.getpid())]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def beat(core: int, parent: int) -> None:
    """Sleep and wake up on `core` until `parent` is no longer this process's parent."""
    os.sched_setaffinity(0, {core})
    while os.getppid() == parent:
        time.sleep(random.uniform(SHORTEST_S, LONGEST_S))


if __name__ == "__main__":
    beat(*map(int, sys.argv[1:]))
