"""What a code object of another process says: function, file, and the line of each instruction.

Kept by address.  An address may be another code's later, so whoever uses what is kept compares
`Code.print_` with what lies there now.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator

import _remote
from _layouts import Layout
from _remote import Torn

_MOST_CHARACTERS, _MOST_BYTES = 1 << 14, 1 << 24
_WORD = struct.Struct("<Q")
_SHIM = "__init__"  # the "file" of the frame between a class that is called and its __init__
_UNIT = 2  # bytes of an instruction
_ENTRY = re.compile(rb"[\x80-\xff][\x00-\x7f]*")  # of a line table
_NO_LOCATION, _NO_COLUMNS, _ONE_LINE = 15, 13, 10  # kinds of entries
# By first byte (kind, bytes of code); kind 0 leaves the line as it is.
_KINDS = [
    (kind if _ONE_LINE < kind < _NO_LOCATION else 0, ((byte & 7) + 1) * _UNIT)
    for byte in range(256)
    for kind in (byte >> 3 & 15,)
]

Frame = tuple[str, str, int]  # function, file, line


class Code:
    """One code object.  print_: the bytes that tell it from another at the same address."""

    __slots__ = (
        "_ends",
        "_length",
        "_lines",
        "_numbers",
        "_of",
        "_start",
        "file",
        "ids",
        "line",
        "name",
        "print_",
    )

    def __init__(
        self,
        start: int,
        length: int,
        print_: bytes,
        name: str,
        file: str,
        line: int,
        lines: bytes,
        numbers: dict[Frame, int],
    ) -> None:
        """start, length: of its instructions, in bytes. numbers: of all frames so far."""
        self._start, self._length = start, length
        self.print_, self.name, self.file, self.line = print_, name, file, line
        self._lines = spans(lines, line)
        self._ends: list[int] = []  # as far as they have been needed
        self._of: list[int] = []
        self._numbers = numbers
        self.ids: dict[int, int] = {}  # by address of an instruction the number of the frame

    def frame(self, instruction: int) -> int:
        """The number of the frame that is at an instruction; -1 for one that no traceback shows.

        Raises Torn when that is none of its instructions.
        """
        place = instruction - self._start
        if not -_UNIT <= place <= self._length or place % _UNIT:
            raise Torn("an instruction of another code")
        if self.file == _SHIM:
            self.ids[instruction] = -1
            return -1
        line = self._line_at(place) if place >= 0 else self.line
        frame = self.name, self.file, line
        found = self.ids[instruction] = self._numbers.setdefault(frame, len(self._numbers))
        return found

    def _line_at(self, place: int) -> int:
        """Cost: a step for each entry of the table up to the place, once."""
        if not self._ends or self._ends[-1] <= place:
            for end, line in self._lines:
                self._ends.append(end)
                self._of.append(line)
                if end > place:
                    break
            else:
                return self._of[-1] if self._of else self.line
        return self._of[bisect_right(self._ends, place)]


def spans(table: bytes, line: int) -> Iterator[tuple[int, int]]:
    """(end in bytes, line) of each stretch of code, out of a `co_linetable`.

    As CPython's Objects/locations.md describes it.  What has no line counts as the line before.
    """
    place = 0
    for entry in _ENTRY.findall(table):
        kind, size = _KINDS[entry[0]]
        if kind:
            more = kind - _ONE_LINE if kind < _NO_COLUMNS else _signed(entry)
            if more and place:
                yield place, line
            line += more
        place += size
    yield place, line


def _signed(entry: bytes) -> int:
    """The number after the first byte of an entry, six bits in each byte, the sign in the first."""
    number, shift = 0, 0
    for byte in entry[1:]:
        number |= (byte & 63) << shift
        shift += 6
        if not byte & 64:
            break
    return -(number >> 1) if number & 1 else number >> 1


class Codes:
    """The code objects of one process."""

    def __init__(
        self, pid: int, layout: Layout, code_type: int, text_type: int, numbers: dict[Frame, int]
    ) -> None:
        self._pid, self._layout = pid, layout
        self._code_type, self._text_type = code_type, text_type
        self._numbers = numbers
        self.known: dict[int, Code] = {}
        self.print_at, self.print_size = layout.first_line, layout.lines + 8 - layout.first_line

    def load(self, address: int) -> Code:
        """Read a code object.

        Cost: three calls of the kernel. Raises Torn where there is none, Gone, Forbidden.
        """
        layout = self._layout
        content = _remote.read(self._pid, address, layout.lines + 8)
        kind, units = struct.unpack_from("<QQ", content, 8)
        if kind != self._code_type or units * _UNIT > _MOST_BYTES:
            raise Torn("no code object")
        name, file, lines = (
            _WORD.unpack_from(content, offset)[0]
            for offset in (layout.qualname, layout.file, layout.lines)
        )
        name_piece, file_piece, lines_piece = self._found(name, file, lines)
        print_ = address + self.print_at, self.print_size
        parts = self._read_all([name_piece[:2], file_piece[:2], lines_piece[:2], print_])
        if parts[3] != content[layout.first_line :]:
            raise Torn("a code object that went")
        name_text, file_text = (
            text.decode(piece[2], "replace")
            for text, piece in zip(parts, (name_piece, file_piece), strict=False)
        )
        if "\0" in name_text + file_text:  # its memory is something else's by now
            raise Torn("no text")
        code = Code(
            address + layout.instructions,
            units * _UNIT,
            parts[3],
            name_text,
            file_text,
            struct.unpack_from("<i", content, layout.first_line)[0],
            parts[2],
            self._numbers,
        )
        self.known[address] = code
        return code

    def _found(self, name: int, file: int, lines: int) -> list[tuple[int, int, str]]:
        """(address, bytes, encoding) of what two texts and a bytes object hold."""
        heads = self._read_all([(name, self._layout.text), (file, self._layout.text), (lines, 32)])
        size = _WORD.unpack_from(heads[2], 16)[0]
        if size > _MOST_BYTES:
            raise Torn("no line table")
        texts = [self._text(name, heads[0]), self._text(file, heads[1])]
        return [*texts, (lines + 32, size, "")]

    def _read_all(self, pieces: list[tuple[int, int]]) -> list[bytes]:
        together = _remote.Pieces(self._pid, pieces)
        content = together.read()
        return [
            bytes(content[at : at + size])
            for at, (_, size) in zip(together.at, pieces, strict=True)
        ]

    def _text(self, address: int, head: bytes) -> tuple[int, int, str]:
        """Where the characters of a str are; head: its PyASCIIObject."""
        kind, length = struct.unpack_from("<QQ", head, 8)
        (state,) = struct.unpack_from("<I", head, 32)
        width, compact, ascii_only = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if kind != self._text_type or not compact or length > _MOST_CHARACTERS:
            raise Torn("no text")
        # PyCompactUnicodeObject has two words more, in 3.11 three.
        more = 0 if ascii_only else 24 if self._layout.text == 48 else 16
        encoding = _ENCODINGS.get(width, "latin-1")
        return address + self._layout.text + more, length * width, encoding


_ENCODINGS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}  # by bytes of a character
