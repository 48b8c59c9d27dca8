"""Of a reading that was torn, the frames count that a later one still has in their places."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from script_modules import script_module

remote: Any = script_module("_remote")
torn: Any = script_module("_torn")

FRAME = struct.Struct("<QQQB")  # code, previous, instruction, owner
STACK = 4096  # address of the data stack
ROOM = 64  # of each frame
ROOT, MIDDLE, LEAF, OTHER = 1, 2, 3, 4  # addresses of code objects


class Code:
    """Frame numbers 100 times the code, and the instruction on top of it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def frame(self, instruction: int) -> int:
        if instruction > 9:
            raise remote.Torn("an instruction of another code")
        return 100 * self.number + instruction


KNOWN = {number: Code(number) for number in (ROOT, MIDDLE, LEAF, OTHER)}


def stack_of(*frames: tuple[int, int]) -> tuple[bytearray, list[tuple[int, int, int, int]]]:
    """The memory of (code, instruction), root first, and the chain of its frames, leaf first."""
    buffer = bytearray(ROOM * 8)
    chain = []
    previous = 0
    for place, (code, instruction) in enumerate(frames):
        FRAME.pack_into(buffer, place * ROOM, code, previous, instruction, 0)
        address = STACK + place * ROOM
        chain.append((address, code, previous, KNOWN[code].frame(instruction)))
        previous = address
    return buffer, chain[::-1]


def common(buffer: bytearray, chain: list[tuple[int, int, int, int]]) -> tuple[int, ...]:
    ranges = [(STACK, STACK + len(buffer) - FRAME.size, -STACK)]
    found: tuple[int, ...] = torn.Glimpse(buffer, ranges, FRAME.unpack_from).common(chain, KNOWN)
    return found


def test_frames_that_were_entered_later_do_not_count() -> None:
    before, _ = stack_of((ROOT, 1), (MIDDLE, 5), (OTHER, 2))
    _, later = stack_of((ROOT, 1), (MIDDLE, 7), (LEAF, 3))
    assert common(before, later) == (205, 101)  # the middle at the line that it was at


def test_a_frame_of_the_same_code_in_another_place_is_another() -> None:
    before, _ = stack_of((ROOT, 1), (MIDDLE, 5), (LEAF, 2))
    _, later = stack_of((ROOT, 1), (LEAF, 2))
    assert common(before, later) == (101,)


def test_a_stack_that_stayed_counts_whole() -> None:
    before, chain = stack_of((ROOT, 1), (MIDDLE, 5))
    assert common(before, chain) == (205, 101)


def test_nothing_in_common_is_nothing() -> None:
    before, _ = stack_of((OTHER, 1), (MIDDLE, 5))
    _, later = stack_of((ROOT, 1), (MIDDLE, 5))
    assert common(before, later) == ()


def test_the_later_line_counts_where_the_earlier_one_is_none() -> None:
    before, later = stack_of((ROOT, 1), (MIDDLE, 5))
    FRAME.pack_into(before, ROOM, MIDDLE, STACK, 77, 0)
    assert common(before, later) == (205, 101)


@pytest.mark.parametrize(("called", "expected"), [(LEAF, (303, 999, 101)), (OTHER, (101,))])
def test_a_generator_is_believed_where_what_it_called_stood(
    called: int, expected: tuple[int, ...]
) -> None:
    elsewhere = 1 << 20
    before, _ = stack_of((ROOT, 1))
    FRAME.pack_into(before, ROOM, called, elsewhere, 3, 0)
    later = [
        (STACK + ROOM, LEAF, elsewhere, 303),
        (elsewhere, MIDDLE, STACK, 999),
        (STACK, ROOT, 0, 101),
    ]
    assert common(before, later) == expected
