"""A shuffled order of 0 .. size - 1 that needs no list: the index at a place, computed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

from optimizer._parameters import shown
from optimizer.errors import SpaceError

_ROUNDS = 8
_PERSON = b"velocity-order-1"


class Permutation:
    """Each number below `size` once, in an order set by the seed.

    Promises: a bijection; the same order in every process, on every platform and Python version.
    Not secret. Thread-safe, constant memory.

    Cost: eight hashes for each number, and seldom more: the numbers are laid out as a rectangle a
    little larger than `size`, a Feistel network mixes row and column, and a result beyond the end
    is mixed again until it is not (Black and Rogaway, "Ciphers with arbitrary finite domains",
    2002).

    Args:
        size: how many numbers, at least 0; any length.
        seed: any integer.
    """

    def __init__(self, size: int, seed: int) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise SpaceError(f"found seed {shown(seed)}, expected an integer, or None for no order")
        self.size = size
        self._rows = math.isqrt(max(0, size - 1)) + 1
        self._columns = max(1, -(-size // self._rows))
        # 8 bytes more than a side has, so that the remainder of a hash favours no number.
        self._bytes = self._rows.bit_length() // 8 + 9
        sign = b"-" if seed < 0 else b"+"
        seeded = _PERSON + sign + abs(seed).to_bytes(abs(seed).bit_length() // 8 + 1, "little")
        key = hashlib.sha256(seeded).digest()
        self._keys = [key + bytes([number]) for number in range(_ROUNDS)]

    def __getitem__(self, place: int) -> int:
        """The number at a place; IndexError beyond the ends."""
        if not 0 <= place < self.size:
            raise IndexError(f"found place {shown(place)}, expected one below {shown(self.size)}")
        number = self._mix(place)
        while number >= self.size:
            number = self._mix(number)
        return number

    def __iter__(self) -> Iterator[int]:
        return map(self.__getitem__, range(self.size))

    def _mix(self, number: int) -> int:
        """A bijection of the whole rectangle."""
        row, column = divmod(number, self._columns)
        for turn, key in enumerate(self._keys):
            if turn % 2:
                column = (column + self._hash(key, row)) % self._columns
            else:
                row = (row + self._hash(key, column)) % self._rows
        return row * self._columns + column

    def _hash(self, key: bytes, number: int) -> int:
        message = key + number.to_bytes(self._bytes, "little")
        return int.from_bytes(hashlib.shake_128(message).digest(self._bytes), "little")
