"""What a torn reading of a stack still tells: the frames that stood at its moment.

A reading is torn where a thread does much in little time, and it may wait when it is read again.
Who counts what the second reading shows finds threads waiting too often.  So of the second reading
only those frames count that the first one has, too, in their places: they were there all the while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from _code_objects import Code
from _remote import Torn

Link = tuple[int, int, int, int]  # of a chain of frames: address, code, previous, number
Range = tuple[int, int, int]  # of addresses: first, last, and what leads to the place in a buffer


class Glimpse:
    """One torn reading of a thread's data stack."""

    def __init__(
        self, buffer: bytearray, ranges: Sequence[Range], unpack: Callable[[bytes, int], Any]
    ) -> None:
        """ranges: of the data stack. unpack: code, previous, instruction, owner of a frame."""
        self._buffer, self._ranges, self._unpack = bytes(buffer), ranges, unpack

    def common(self, chain: Sequence[Link], known: Mapping[int, Code]) -> tuple[int, ...]:
        """The frames of a later, whole reading that stood in this one, leaf first; empty: none.

        The leaf is at the line that this reading has.  A frame that lies out of the data stack (a
        generator's) is believed where one that it called stood.
        """
        stood: list[int] = []
        sure = 0
        for address, code, previous, later in reversed(chain):
            number = later
            place = self._place(address)
            if place >= 0:
                then = self._unpack(self._buffer, place)
                if then[:2] != (code, previous):
                    break
                number = _numbered(known[code], then[2], later)
            if number >= 0:
                stood.append(number)
            if place >= 0:
                sure = len(stood)
        return tuple(reversed(stood[:sure]))

    def _place(self, address: int) -> int:
        for low, high, shift in self._ranges:
            if low <= address <= high:
                return address + shift
        return -1


def _numbered(code: Code, instruction: int, otherwise: int) -> int:
    try:
        return code.frame(instruction)
    except Torn:
        return otherwise
