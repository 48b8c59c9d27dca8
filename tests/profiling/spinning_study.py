"""A study without dependencies, to profile in CI: spins for the seconds it is told."""

import sys
import time


def objective(seconds: float) -> int:
    turns, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        turns += 1
    return turns


if __name__ == "__main__":
    print(f"{objective(float(sys.argv[1]))} turns, {sys.argv[2:]}")
