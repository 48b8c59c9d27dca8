"""Where a running Python keeps its `_PyRuntime`, and a few more of its exported symbols."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import _remote

WANTED = ("_PyRuntime", "Py_Version", "PyCode_Type", "PyUnicode_Type")
_LIBRARY = re.compile(r"libpython3[\w.]*\.so[\d.]*$")
_DYNAMIC_SYMBOLS, _LOADED = 11, 1  # kinds of a section and of a segment
_MOST_BYTES = 1 << 31


class NoPython(Exception):
    """The process runs no Python that exports its symbols."""


@dataclass(frozen=True)
class Symbols:
    """Addresses in one process; the version is as in `Py_Version`, 0 where there is none."""

    runtime: int
    version: int
    code_type: int
    text_type: int


_known: dict[tuple[int, ...], dict[str, int]] = {}  # of files


def of(pid: int) -> Symbols:
    """The symbols of a process.

    Cost: its map of memory, and once for each file a walk over the symbols that it exports.
    Raises NoPython, Gone, Torn or Forbidden.
    """
    for start, path in _mapped(pid):
        found = _exported(path)
        if "_PyRuntime" in found and "PyCode_Type" in found:
            base = start - found[""]
            version = 0
            if "Py_Version" in found:
                version = _remote.read_word(pid, base + found["Py_Version"])
            return Symbols(
                base + found["_PyRuntime"],
                version,
                base + found["PyCode_Type"],
                base + found["PyUnicode_Type"],
            )
    raise NoPython


def _mapped(pid: int) -> list[tuple[int, str]]:
    """Where the library of Python is mapped, and the program itself."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        lines = Path(f"/proc/{pid}/maps").read_text("utf-8", "surrogateescape").splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _remote.Gone from error
    except PermissionError as error:
        raise _remote.Forbidden(f"{error.strerror} (/proc/{pid}/maps)") from error
    found = []
    for line in lines:
        words = line.split(None, 5)
        if len(words) < 6 or int(words[2], 16) != 0:
            continue
        path = words[5]
        if path == program:
            found.append((int(words[0].partition("-")[0], 16), f"/proc/{pid}/exe"))
        elif _LIBRARY.search(path.removesuffix(" (deleted)")):
            place = int(words[0].partition("-")[0], 16)
            found.insert(0, (place, f"/proc/{pid}/root{path}"))
    return found


def _exported(path: str) -> dict[str, int]:
    """The wanted symbols of a file; "" is the address that its first segment asks for."""
    odd = (OSError, struct.error, ValueError, LookupError, ArithmeticError, MemoryError)
    with contextlib.suppress(*odd), open(path, "rb") as file:
        status = os.fstat(file.fileno())
        key = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if key not in _known:
            _known[key] = _read(file.fileno(), status.st_size)
        return _known[key]
    return {}


def _read(descriptor: int, size: int) -> dict[str, int]:
    """Raises ValueError or struct.error where the file is no ELF of 64 bits."""
    header = os.pread(descriptor, 64, 0)
    if header[:6] != b"\x7fELF\x02\x01" or size > _MOST_BYTES:
        raise ValueError("no ELF file of 64 bits")
    segments, sections = struct.unpack_from("<QQ", header, 32)
    segment_size, segment_count, section_size, section_count = struct.unpack_from("<4H", header, 54)
    found = {"": _first_loaded(os.pread(descriptor, segment_size * segment_count, segments))}
    table = os.pread(descriptor, section_size * section_count, sections)
    parts = [struct.unpack_from("<II4QII2Q", table, i * section_size) for i in range(section_count)]
    for part in parts:
        if part[1] == _DYNAMIC_SYMBOLS:
            names = parts[part[6]]
            texts = os.pread(descriptor, names[5], names[4])
            found |= _values(os.pread(descriptor, part[5], part[4]), texts)
    return found


def _first_loaded(table: bytes) -> int:
    for kind, _, _, address, *_ in struct.iter_unpack("<II6Q", table):
        if kind == _LOADED:
            return int(address) & ~0xFFF
    raise ValueError("nothing of it is loaded")


def _values(symbols: bytes, texts: bytes) -> dict[str, int]:
    places = {}
    for name in WANTED:
        at = texts.find(b"\0" + name.encode() + b"\0")
        if at >= 0:
            places[at + 1] = name
    return {
        places[name]: value
        for name, _, _, section, value, _ in struct.iter_unpack("<IBBHQQ", symbols)
        if name in places and section
    }
