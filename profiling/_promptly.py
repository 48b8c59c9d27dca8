"""Come to a processor at once when the time for a round of samples has come.

A sampler that has to wait for a processor gets it when the study waits, and so would see the study
waiting too often.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct

LATE_S = 5e-4  # after its moment, a round comes late; half of them come within 0.1 ms
OFTEN = 0.035  # of a window's rounds; studies that leave a processor free stay below 0.02
_WINDOW = 400  # rounds
_SLICE_NS = 100_000  # that is asked for: the shorter, the sooner it comes
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}  # numbers of the system call sched_setattr
_ATTRIBUTES = struct.Struct("<IIQiIQQQII")  # struct sched_attr


class Promptness:
    """How late rounds come; where that is too late too often, it is seen to."""

    def __init__(self) -> None:
        self.rounds = self.late = 0
        self.first = False  # before anything else that is not of the system
        self._window = 0, 0  # rounds and late ones when it began

    def came(self, late_s: float) -> None:
        """A round begins, so many seconds after its moment."""
        self.rounds += 1
        self.late += late_s > LATE_S
        if self.rounds - self._window[0] >= _WINDOW:
            often = self.late - self._window[1] > OFTEN * _WINDOW
            self.first = self.first or (often and come_first())
            self._window = self.rounds, self.late

    def share_late(self) -> float:
        return self.late / max(self.rounds, 1)


def prefer() -> None:
    """Ask for it, for this process alone; what the system does not permit is left out."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    number = _SET_ATTRIBUTES.get(platform.machine())
    if number is not None:  # needs no privilege; kernels before 6.12 do not heed it
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        words = _ATTRIBUTES.pack(_ATTRIBUTES.size, 0, 0, nice, 0, _SLICE_NS, 0, 0, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, ctypes.create_string_buffer(words, len(words)), 0)


def come_first() -> bool:
    """Be of a class of real time; False where that is not permitted.

    Only where no processor is free for long: the kernel takes the one that this process had before,
    although another one may be free.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        return False
    return True
