"""A study without dependencies, to profile in CI: spins for the seconds it is told."""

import contextlib
import ctypes
import sys
import time

_SET_PTRACER, _ANYBODY = 0x59616D61, -1


def objective(seconds: float) -> int:
    turns, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        turns += 1
    return turns


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):  # Yama lets only a parent look, as it comes
        ctypes.CDLL(None).prctl(_SET_PTRACER, ctypes.c_ulong(_ANYBODY), 0, 0, 0)
    print(f"{objective(float(sys.argv[1]))} turns, {sys.argv[2:]}")
