"""What travels between the parent and a worker: one frame per direction and task.

A frame is a header of fixed size and a pickle. A worker sends nothing but the answer to what it
was sent, so that the two never write to each other at the same time.
"""

from __future__ import annotations

import pickle
import socket
import struct
import sys
import traceback
from typing import Any

from optimizer.errors import RemoteError, WorkerError

# Towards a worker: kind, attempt, task, length of the pickle.
DOWN = struct.Struct("<IIqQ")
TASK, REPLY = 0x4F565401, 0x4F565402  # a number and not text: whatever else comes is refused
# Towards the parent: kind, process id, task, length of the pickle, start, wall and CPU seconds in
# the function (of a question: wall seconds since its start or the last reply), peak resident bytes.
UP = struct.Struct("<IIqQdddQ")
READY, UNREADY, RETURNED, RAISED, ASKED = range(0x4F565511, 0x4F565516)
UP_KINDS = frozenset((READY, UNREADY, RETURNED, RAISED, ASKED))
LENGTH = 3  # the place of the length in both headers

SCRATCH_BYTES = 1 << 16  # what one read takes; frames beyond it get room of their own
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # programs for pipelines let SIGPIPE end them
AT_ONCE = socket.MSG_DONTWAIT | NO_SIGNAL


def pack(value: Any) -> bytes:
    """A pickle of a value; by value what only the main module or a closure knows.

    Raises:
        Exception: whatever cloudpickle raises where neither can pickle it.
    """
    try:
        body = pickle.dumps(value, 5)
    except Exception:  # pickle raises what the objects raise
        pass
    else:
        # Names of the main module mean something else in a worker.
        if b"__main__" not in body:
            return body
    import cloudpickle  # type: ignore[import-untyped]  # it ships no types

    packed: bytes = cloudpickle.dumps(value, 5)
    return packed


def pack_named(value: Any, name: str) -> bytes:
    """`pack`, whose error is one line that says what could not travel.

    Raises:
        WorkerError: the value cannot be pickled.
    """
    try:
        return pack(value)
    except Exception as fault:
        lines = str(fault).splitlines() or [""]
        raise WorkerError(
            f"{name} (of type {type(value).__name__}) cannot be pickled: {type(fault).__name__}: "
            f"{lines[0]}; expected something that can travel between processes"
        ) from fault


def pack_error(error: BaseException) -> bytes:
    """An exception with its traceback; its text alone, where the exception cannot travel."""
    try:
        body = pack(error)
        if not isinstance(pickle.loads(body), BaseException):  # classes with arguments of their own
            body = b""
    except Exception:
        body = b""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        text = str(error)
        lines = "".join(traceback.format_exception(error))
    except Exception as fault:
        text = f"(its text raised {type(fault).__name__})"
        lines = "".join(traceback.format_tb(error.__traceback__)) + f"{name}: {text}\n"
    return pickle.dumps((body, name, text, lines), 5)


def unpack_error(packed: memoryview | bytes) -> tuple[BaseException, str]:
    """The exception and its traceback as text."""
    body, name, text, lines = pickle.loads(packed)
    try:
        if body:
            return pickle.loads(body), lines
    except Exception:
        pass  # a class that only the worker can import
    return RemoteError(name, text, lines), lines


def read_whole(line: socket.socket, scratch: memoryview, header: struct.Struct) -> Any:
    """Waits for one frame: its header and its pickle.

    Raises:
        EOFError: the other side is gone.
    """
    filled = 0
    while filled < header.size:
        filled += _some(line, scratch[filled:])
    fields = header.unpack_from(scratch)
    size = header.size + fields[LENGTH]
    if size <= len(scratch):
        whole = scratch
    else:
        whole = memoryview(bytearray(size))
        whole[:filled] = scratch[:filled]
    while filled < size:
        filled += _some(line, whole[filled:size])
    return fields, whole[header.size : size]


def _some(line: socket.socket, room: memoryview) -> int:
    count = line.recv_into(room)
    if not count:
        raise EOFError
    return count


class Inbox:
    """The frames of one worker, read without ever waiting for the rest of one."""

    __slots__ = ("_filled", "_line", "_scratch", "_whole")

    def __init__(self, line: socket.socket, scratch: memoryview) -> None:
        self._line = line
        self._scratch = scratch
        self._whole: memoryview | None = None
        self._filled = 0

    @property
    def filled_bytes(self) -> int:
        """How much of a frame is here that is not whole yet."""
        return self._filled

    def pull(self) -> Any:
        """A frame's header and pickle, good until the next pull; None until it is whole.

        Raises:
            EOFError: the worker closed its side.
            ConnectionError: so it did, with something unread that was sent to it.
            ValueError: what came is no frame.
            MemoryError: there is no room for it.
        """
        try:
            while True:
                room = self._scratch if self._whole is None else self._whole
                count = self._line.recv_into(room[self._filled :], 0, AT_ONCE)
                if not count:
                    raise EOFError
                self._filled += count
                frame = self._frame()
                if frame is not None:
                    self._whole = None
                    self._filled = 0
                    return frame
        except BlockingIOError:
            self._keep()
            return None

    def _frame(self) -> Any:
        room = self._scratch if self._whole is None else self._whole
        if self._filled < UP.size:
            return None
        fields = UP.unpack_from(room)
        size = UP.size + fields[LENGTH]
        if fields[0] not in UP_KINDS or not self._filled <= size <= sys.maxsize:
            raise ValueError("not a frame")
        if self._filled == size:
            return fields, room[UP.size : size]
        if len(room) < size:
            self._whole = memoryview(bytearray(size))
            self._whole[: self._filled] = room[: self._filled]
        return None

    def _keep(self) -> None:
        # The scratch is everybody's: what lies in it has to be taken out.
        if self._filled and self._whole is None:
            self._whole = memoryview(bytearray(len(self._scratch)))
            self._whole[: self._filled] = self._scratch[: self._filled]
