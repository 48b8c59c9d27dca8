"""Where CPython keeps what a stack is made of: offsets in bytes, by minor version.

From 3.13 on the interpreter tells its own offsets at the start of `_PyRuntime`.  Those of 3.11 and
3.12 are `offsetof` of the structures in CPython's `Include/internal` (pycore_runtime.h,
pycore_interp.h, pycore_frame.h) and `Include/cpython` (pystate.h, code.h, unicodeobject.h),
compiled from the headers of 3.11.7 and 3.12.1 on x86-64; Linux on 64 bits has them alike, and
CPython does not move them within a minor version.  They are believed only where an interpreter
shows by them the very stack that it is known to have (`_ways.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import _remote

OLDEST = (3, 11)
_COOKIE = b"xdebugpy"
_WORDS = 71  # of struct _Py_DebugOffsets that are looked at
GENERATOR = 1  # owner of a frame
C_STACK = 3  # owner of the frame that a call from C begins with, from 3.12 on: no Python of its own


class Unknown(Exception):
    """An interpreter whose structures are not known here; the message says which."""


@dataclass(frozen=True)
class Layout:
    """Offsets.  frame: of the current frame in the thread's state, or in what `cframe` points to.

    cframe: 0 where the thread's state holds the current frame itself.
    """

    interpreters: int  # _PyRuntime
    next_interpreter: int  # PyInterpreterState
    threads: int
    next_thread: int  # PyThreadState
    interpreter: int
    cframe: int
    frame: int
    native_id: int
    chunk: int
    code: int  # _PyInterpreterFrame
    previous: int
    instruction: int
    owner: int
    locals: int
    first_line: int  # PyCodeObject
    file: int
    qualname: int
    lines: int
    instructions: int
    text: int  # PyASCIIObject: its size

    @property
    def frame_struct(self) -> struct.Struct:
        """(code, previous, instruction, owner) out of a frame."""
        words = [(self.code, "Q"), (self.previous, "Q"), (self.instruction, "Q"), (self.owner, "B")]
        if words != sorted(words):
            raise Unknown("the members of a frame come in another order")
        form, at = "<", 0
        for offset, kind in words:
            form += f"{offset - at}x{kind}"
            at = offset + (8 if kind == "Q" else 1)
        return struct.Struct(form)


_THREE_ELEVEN = Layout(
    interpreters=40,
    next_interpreter=0,
    threads=16,
    next_thread=8,
    interpreter=16,
    cframe=56,
    frame=8,
    native_id=160,
    chunk=296,
    code=32,
    previous=48,
    instruction=56,
    owner=69,
    locals=72,
    first_line=72,
    file=112,
    qualname=128,
    lines=136,
    instructions=184,
    text=48,
)
_THREE_TWELVE = Layout(
    interpreters=40,
    next_interpreter=0,
    threads=72,
    next_thread=8,
    interpreter=16,
    cframe=56,
    frame=0,
    native_id=144,
    chunk=232,
    code=0,
    previous=8,
    instruction=56,
    owner=70,
    locals=72,
    first_line=68,
    file=112,
    qualname=128,
    lines=136,
    instructions=192,
    text=40,
)


def in_words(version: int) -> str:
    """A version as in `Py_Version`, such as 3.11.7."""
    return f"{version >> 24}.{version >> 16 & 255}.{version >> 8 & 255}"


def of(pid: int, runtime: int, version: int) -> Layout:
    """The layout of a running interpreter; runtime: the address of its `_PyRuntime`.

    version: as in `Py_Version`.  Raises Unknown, and as `_remote.read`.
    """
    minor = version >> 24, version >> 16 & 255
    if minor < OLDEST:  # 0 where it is not told: 3.11 was the first to do so
        raise Unknown("a Python older than 3.11")
    if version & 0xF0 != 0xF0:
        raise Unknown(f"Python {in_words(version)} before its release")
    if minor == (3, 11):
        return _THREE_ELEVEN
    if minor == (3, 12):
        return _THREE_TWELVE
    if minor == (3, 13):
        return _told(_remote.read(pid, runtime, 8 * _WORDS), version)
    raise Unknown(f"Python {in_words(version)}")


def _told(content: bytes, version: int) -> Layout:
    """What 3.13 tells of itself: struct _Py_DebugOffsets of its pycore_runtime.h."""
    if content[:8] != _COOKIE:
        raise Unknown(f"Python {in_words(version)} that does not tell its offsets")
    word = struct.unpack_from(f"<{_WORDS}Q", content)
    if word[1] != version:
        raise Unknown(f"Python {in_words(version)} that tells the offsets of another version")
    if word[2]:
        raise Unknown(f"Python {in_words(version)} without the GIL")
    return Layout(
        interpreters=word[5],
        next_interpreter=word[8],
        threads=word[9],
        next_thread=word[21],
        interpreter=word[22],
        cframe=0,
        frame=word[23],
        native_id=word[25],
        chunk=word[26],
        previous=word[29],
        code=word[30],
        instruction=word[31],
        locals=word[32],
        owner=word[33],
        file=word[35],
        qualname=word[37],
        lines=word[38],
        first_line=word[39],
        instructions=word[43],
        text=word[70],
    )
