"""The stack of one thread of Python, read while it runs on.

A look is one call of the kernel: the thread's state, the piece of its data stack that holds its
frames (which lie one behind the other from Python 3.11 on), the piece of its C stack on which calls
from C were seen to begin (up to 3.12 they point to the current frame), and the few frames elsewhere
that it had when it was last seen (of generators).  A second call reads the marks by which its code
objects are known again.  What came is believed when the chain of frames leads to its end over known
code only, each at an instruction of its own; otherwise it is torn, and read again.

It matters that the first reading is whole almost always.  Each one that is not comes out later than
it was asked for, and the next is whole the sooner, the less the thread does.  So what a later one
shows counts only as far as the first one has it, too (`_torn.py`).

A thread that has slept since it was last seen, by what the kernel counts, is not read at all.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING

import _layouts
import _remote
from _remote import Gone, Torn, Unmapped
from _torn import Glimpse, Link, Range

if TYPE_CHECKING:
    from _looked_into import Process

ATTEMPTS = 12  # at a thread in one round
_SURE_EMPTY = 5  # of these, after which a stack without frames is believed
_MOST_CHUNK_BYTES = 1 << 15  # of the data stack, read in one piece; CPython makes them of 16 KiB
_MOST_CHUNKS = 256
_MOST_FRAMES = 20_000
_STATE_BYTES = 1 << 10  # PyThreadState is smaller
_MOST_C_STACK_BYTES = 1 << 16  # between the calls from C that are read on suspicion
_ELSEWHERE = 24  # frames out of the data stack, likewise
_CHUNK_HEAD_BYTES = 24  # _PyStackChunk: previous, size, top
_HELD_UP_S, _HELD_UP = 2e-4, 20.0  # for longer, and so many times longer than the fastest
_WORD = struct.Struct("<Q")

Stack = tuple[int, ...]  # numbers of frames, leaf first


class Thread:
    """One thread of Python."""

    def __init__(self, process: Process, state: int, tid: int) -> None:
        self.tid = tid
        self.state = state
        self.stack: Stack | None = None
        self._process = process
        self._layout = process.layout
        self._unpack = process.layout.frame_struct.unpack_from
        self._frame_bytes = process.layout.owner + 1
        self._fastest_s = 1.0  # in which its pieces were read
        self._asleep = b""  # what the kernel counted of it, when it was asleep as it was seen
        self._counts = _opened(f"/proc/{process.pid}/task/{tid}/schedstat")
        self._status = _opened(f"/proc/{process.pid}/task/{tid}/stat")
        self._marks = _Marks(process)
        self._chain: list[Link] = []  # of the last reading, leaf first
        self._last: tuple[bytearray, list[Range]] | None = None  # reading of its data stack
        self._forget()

    def close(self) -> None:
        for descriptor in (self._counts, self._status):
            if descriptor >= 0:
                os.close(descriptor)
        self._counts = self._status = -1

    def slept(self) -> bool:
        """Whether it has not run since it was last seen asleep, with the stack of then."""
        # The counts alone would not do: some kernels count a thread that has just been woken only
        # at their next tick.  One that ran and sleeps again has been counted.
        return self._asleep != b"" and self._sleeps() and self._count() == self._asleep

    def look(self) -> Stack:
        """Its stack now.

        Cost: two calls of the kernel and a step for each frame, when it does what it did before.
        Raises Torn when it could not be read whole in `ATTEMPTS`, Gone or Forbidden.
        """
        before = self._count()
        glimpse = None
        for attempt in range(ATTEMPTS):
            try:
                stack = self._read()
                if not stack and attempt < _SURE_EMPTY:  # as in the midst of a call from C
                    raise Torn("no frames")
                self.stack = stack
                break
            except Torn as error:
                if attempt == 0 and self._last:
                    glimpse = Glimpse(*self._last, self._unpack)
                self._plan_again(attempt, isinstance(error, Unmapped))
            self._process.torn += 1
        else:
            raise Torn("it changed in each attempt")
        self._asleep = before if before and self._sleeps() and self._count() == before else b""
        stood = glimpse.common(self._chain, self._process.codes.known) if glimpse else ()
        return stood or stack

    def _plan_again(self, attempt: int, unmapped: bool) -> None:
        """Drop what may have been planned in vain; unmapped: a piece was not there."""
        if unmapped and attempt == 0:  # most often a frame elsewhere, whose generator has gone
            self._plan(self._chunks)
        elif unmapped or attempt == ATTEMPTS // 2:
            self._forget()

    def _count(self) -> bytes:
        """What the kernel has counted of it: its time on a processor, and how often it got one."""
        if self._counts < 0:
            return b""
        try:
            return os.pread(self._counts, 64, 0)
        except OSError as error:
            raise Gone from error

    def _sleeps(self) -> bool:
        try:
            text = os.pread(self._status, 512, 0)
        except OSError as error:
            raise Gone from error
        name_end = text.rfind(b")")
        return text[name_end + 2 : name_end + 3] in (b"S", b"D", b"T", b"t")

    def _forget(self) -> None:
        """Plan to read from the very beginning."""
        self._calls = 0, 0  # from the oldest to the newest on the C stack
        self._plan([])

    def _plan(self, chunks: list[tuple[int, int]]) -> None:
        """What is read in one call; chunks: (address, bytes) of the data stack, the current first.

        What points to the current frame comes first: a frame that is left meanwhile can still be
        read, one that is entered meanwhile cannot.
        """
        layout = self._layout
        low, high = self._calls
        pieces = [(self.state, max(layout.chunk, layout.native_id) + 8)]
        pieces += [(low, high - low + layout.frame + 8)] if low else []
        first = len(pieces)
        pieces += chunks
        pieces += [(self.state, self._frame_bytes)] * _ELSEWHERE
        self._pieces = _remote.Pieces(self._process.pid, pieces)
        at = self._pieces.at
        self._chunks = chunks
        self._ranges = [
            (start, start + size - self._frame_bytes, offset - start)
            for (start, size), offset in zip(chunks, at[first:], strict=False)
        ]
        self._elsewhere = _Slots(self._pieces, first + len(chunks), _ELSEWHERE)

    def _read(self) -> Stack:
        layout = self._layout
        self._last = None
        buffer = self._read_at_once()
        interpreter, native, chunk = (
            _WORD.unpack_from(buffer, offset)[0]
            for offset in (layout.interpreter, layout.native_id, layout.chunk)
        )
        if interpreter not in self._process.interpreters or native != self._process.inner(self.tid):
            raise Torn("the state of another thread")
        if not any(chunk == start for start, _ in self._chunks):
            self._find_chunks(chunk)
            raise Torn("another chunk of the data stack")
        self._last = buffer, self._ranges
        return self._walk(buffer, self._head(buffer))

    def _read_at_once(self) -> bytearray:
        """The pieces, unless this process lost its processor in the midst of them."""
        begun = time.perf_counter()
        buffer = self._pieces.read(self._elsewhere.read_until)
        took_s = time.perf_counter() - begun
        self._fastest_s = min(took_s, self._fastest_s)
        if took_s > max(_HELD_UP_S, _HELD_UP * self._fastest_s):
            raise Torn("the reading was held up")
        return buffer

    def _head(self, buffer: bytearray) -> int:
        """The address of the current frame."""
        layout = self._layout
        if not layout.cframe:
            head: int = _WORD.unpack_from(buffer, layout.frame)[0]
            return head
        (cframe,) = _WORD.unpack_from(buffer, layout.cframe)
        if 0 <= cframe - self.state < _STATE_BYTES:
            return 0  # nothing has been called: the state holds the first of them itself
        low, high = self._calls
        if not low <= cframe <= high:
            self._see_call(cframe)
            raise Torn("a call from C")
        place = self._pieces.at[1] + cframe - low
        current: int = _WORD.unpack_from(buffer, place + layout.frame)[0]
        return current

    def _see_call(self, cframe: int) -> None:
        """Read the C stack as far as this call from now on: it lies in use, up to the oldest."""
        if not cframe or cframe % 8:
            raise Torn("no call from C")
        low, high = self._calls
        low, high = (min(low, cframe), max(high, cframe)) if low else (cframe, cframe)
        if high - low > _MOST_C_STACK_BYTES:
            low, high = (low, low) if cframe == low else (high, high)
        self._calls = low, high
        self._plan(self._chunks)

    def _find_chunks(self, chunk: int) -> None:
        """Where the thread's frames lie; older chunks are read as far as they are filled."""
        chunks: list[tuple[int, int]] = []
        while chunk and len(chunks) < _MOST_CHUNKS:
            head = _remote.read(self._process.pid, chunk, _CHUNK_HEAD_BYTES)
            previous, size, top = struct.unpack("<3Q", head)
            if chunks:
                size = min(size, _CHUNK_HEAD_BYTES + 8 * top)
            chunks.append((chunk, min(max(size, _CHUNK_HEAD_BYTES), _MOST_CHUNK_BYTES)))
            chunk = previous
        self._plan(chunks)

    def _walk(self, buffer: bytearray, address: int) -> Stack:
        known, unpack, places = self._process.codes.known, self._unpack, self._elsewhere.at
        low, high, shift = self._ranges[0] if self._ranges else (0, -1, 0)
        chain: list[Link] = []
        self._chain = chain
        frames: list[int] = []
        owner = 0
        for _ in range(_MOST_FRAMES):
            if not address:
                break
            if low <= address <= high:
                at = address + shift
            elif address in places:
                at = places[address]
            else:
                at = self._otherwise(address)
            here = address
            code, address, instruction, owner = unpack(buffer, at)
            if owner == _layouts.C_STACK:
                continue
            one = known.get(code)
            if one is None:
                one = self._process.codes.load(code)
            number = one.ids.get(instruction)
            if number is None:
                number = one.frame(instruction)
            if number >= 0:
                frames.append(number)
            chain.append((here, code, address, number))
        else:
            raise Torn("no end of frames")
        if owner == _layouts.GENERATOR:
            raise Torn("a generator that has just been left")
        self._marks.check([code for _, code, _, _ in chain])
        return tuple(frames)

    def _otherwise(self, address: int) -> int:
        """Where in the buffer a frame is that was not planned for."""
        if address % 8:
            raise Torn("no frame")
        for low, high, shift in self._ranges:
            if low <= address <= high:
                return address + shift
        return self._elsewhere.fetch(address)


class _Slots:
    """Pieces of one length among others, for what is found to be needed; the oldest goes first.

    at: by address its place in the buffer.
    """

    def __init__(self, pieces: _remote.Pieces, first: int, count: int) -> None:
        self.at: dict[int, int] = {}
        self._pieces, self._first, self._count = pieces, first, count
        self._addresses = [0] * count
        self._next = 0
        self.read_until: int | None = first  # pieces; those behind it have no use yet

    def add(self, address: int) -> int:
        """Read a piece from now on; returns its place in the buffer."""
        place = self._next
        if self.read_until is not None:
            self.read_until += 1
            if place == self._count - 1:
                self.read_until = None
        self._next = (place + 1) % self._count
        self.at.pop(self._addresses[place], None)
        self._addresses[place] = address
        self._pieces.move(self._first + place, address)
        at = self.at[address] = self._pieces.at[self._first + place]
        return at

    def fetch(self, address: int) -> int:
        """The same, and read it at once."""
        at = self.add(address)
        following = self._pieces.at[self._first + 1] - self._pieces.at[self._first]
        self._pieces.buffer[at : at + following] = _remote.read(
            self._pieces.pid, address, following
        )
        return at


class _Marks:
    """Whether the code objects of a stack are still those that are known at their addresses."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._codes: tuple[int, ...] = ()
        self._expected = b""
        self._room(64)

    def _room(self, count: int) -> None:
        # One piece more than are ever asked for, so that the end of the last one is known.
        size = self._process.codes.print_size
        self._most = count
        self._pieces = _remote.Pieces(self._process.pid, [(0, size)] * (count + 1))

    def check(self, codes: list[int]) -> None:
        """Raises Torn where one is another by now; it is forgotten.

        Cost: one call of the kernel.
        """
        wanted = tuple(dict.fromkeys(codes))
        if not wanted:
            return
        known, of = self._process.codes.known, self._process.codes
        if wanted != self._codes:
            if len(wanted) > self._most:
                self._room(min(2 * len(wanted), _remote.MOST_PIECES - 1))
            self._codes = wanted[: self._most]
            for place, one in enumerate(self._codes):
                self._pieces.move(place, one + of.print_at)
            self._expected = b"".join([known[one].print_ for one in self._codes])
        found = self._pieces.read(len(self._codes))
        if found.startswith(self._expected):
            return
        for place, one in enumerate(self._codes):
            at = place * of.print_size
            if found[at : at + of.print_size] != known[one].print_:
                known.pop(one)
        self._codes = ()
        raise Torn("another code at an address")


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
