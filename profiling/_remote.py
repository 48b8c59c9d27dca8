"""The memory of another process, read while it runs on: it is never stopped and never notices.

`process_vm_readv` copies many pieces in one call of the kernel.  The pieces are copied one after
the other while the process goes on, so what belongs together may be torn: whoever reads has to
check what came.  Linux only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

MOST_PIECES = 1000  # of one call; the kernel takes 1024
_WORD = struct.Struct("<Q")


class Gone(Exception):
    """The process has ended, or is becoming another program."""


class Torn(Exception):
    """What was read does not fit together, or is not mapped any more: read again."""


class Unmapped(Torn):
    """A piece of what was to be read is not there."""


class Forbidden(Exception):
    """The system does not let this process look into that one."""


def _function() -> ctypes._NamedFuncPointer | None:
    try:
        found = ctypes.CDLL(None, use_errno=True).process_vm_readv
    except (AttributeError, OSError, TypeError):
        return None
    found.restype = ctypes.c_ssize_t
    found.argtypes = [
        ctypes.c_int,
        *(ctypes.c_void_p, ctypes.c_ulong),
        *(ctypes.c_void_p, ctypes.c_ulong),
        ctypes.c_ulong,
    ]
    return found


_readv = _function()


def available() -> bool:
    """Whether this system can do it at all."""
    return _readv is not None and ctypes.sizeof(ctypes.c_void_p) == 8


class Pieces:
    """Pieces of memory that are read together, again and again, into one buffer.

    at: where each piece begins in the buffer.
    """

    def __init__(self, pid: int, pieces: Sequence[tuple[int, int]]) -> None:
        """pieces: (address, bytes) of each, at most `MOST_PIECES`."""
        self.pid = pid
        self.at: list[int] = []
        size = 0
        for _, length in pieces:
            self.at.append(size)
            size += length
        self.size = size
        self.buffer = bytearray(size)
        flat = [number for piece in pieces for number in piece]
        self._remote = (ctypes.c_uint64 * len(flat))(*flat)
        self._count = len(pieces)
        room = (ctypes.c_char * size).from_buffer(self.buffer)
        self._local = (ctypes.c_uint64 * 2)(ctypes.addressof(room), size)
        self._room = room

    def move(self, place: int, address: int) -> None:
        """From now on one of the pieces lies elsewhere."""
        self._remote[2 * place] = address

    def read(self, count: int | None = None) -> bytearray:
        """The buffer, filled anew; count: only so many of the pieces, fewer than all.

        Cost: one call of the kernel. Raises Gone, Torn or Forbidden.
        """
        assert _readv is not None
        size, pieces = (self.size, self._count) if count is None else (self.at[count], count)
        self._local[1] = size
        got = _readv(self.pid, self._local, 1, self._remote, pieces, 0)
        if got != size:
            _fail(got)
        return self.buffer


def read(pid: int, address: int, size: int) -> bytes:
    """One piece.  Raises Gone, Torn or Forbidden."""
    assert _readv is not None
    buffer = ctypes.create_string_buffer(size)
    local = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), size)
    got = _readv(pid, local, 1, (ctypes.c_uint64 * 2)(address, size), 1, 0)
    if got != size:
        _fail(got)
    return buffer.raw


def read_word(pid: int, address: int) -> int:
    """One pointer, or any number of 64 bits."""
    number: int = _WORD.unpack(read(pid, address, 8))[0]
    return number


def _fail(got: int) -> None:
    if got >= 0:
        raise Unmapped("a piece is not mapped")
    number = ctypes.get_errno()
    if number == errno.ESRCH:
        raise Gone
    if number in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        raise Forbidden(f"{os.strerror(number)} (process_vm_readv)")
    raise Unmapped(os.strerror(number))
