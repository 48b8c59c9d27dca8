"""Tells py-spy the time: a process of ours beside the study, sampled in the same rounds.

    python -I -S _witness.py FOLDER

py-spy's ordered samples hold no times.  The functions that this process sleeps in carry the time in
their names, so each of its samples tells when that round of samples was taken.  Ends when the
study has (FOLDER/.code), or when the shell that started both is gone.
"""

from __future__ import annotations

import os
import sys
import time
from types import FunctionType
from typing import Any

TICKS = 500  # a second
LOOK_EVERY = 25  # ticks


def tick(until: float) -> None:
    time.sleep(max(0.0, until - time.monotonic()))


def second(ticks: list[Any], number: int, folder: str, parent: int) -> bool:
    """Sleep through one second of the clock; returns whether to go on."""
    place = int((time.monotonic() - number) * TICKS)
    while place < TICKS:
        ticks[place](number + (place + 1) / TICKS)
        if place % LOOK_EVERY == 0 and (
            os.getppid() != parent or os.path.exists(os.path.join(folder, ".code"))
        ):
            return False
        place = max(place + 1, int((time.monotonic() - number) * TICKS))
    return True


def named(function: Any, number: int) -> Any:
    """The function under a name that holds a number, in the way that py-spy shows names."""
    name = f"{function.__name__}#{number}"
    code = function.__code__.replace(co_name=name, co_qualname=name)
    return FunctionType(code, globals())


def main(folder: str) -> None:
    """Tell the time until the study has ended."""
    ticks, parent = [named(tick, place) for place in range(TICKS)], os.getppid()
    going = True
    while going:
        number = int(time.monotonic())
        going = named(second, number)(ticks, number, folder, parent)


if __name__ == "__main__":
    main(sys.argv[1])
