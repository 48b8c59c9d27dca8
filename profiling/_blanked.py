"""Passwords in command lines, blanked before they are shown or stored.

Blanked are `user:***@` in addresses, and what follows options and variables whose names end in
password, passwd, token, secret or key.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from pathlib import Path

_HIDDEN = "***"
_NAME = r"(?i:[\w.-]*(?:password|passwd|token|secret|key))"
_ADDRESS = re.compile(r"(://[^/\s:@]*:)[^@/\s]+@")
_GIVEN = re.compile(rf"^(--?{_NAME}=|{_NAME}=).+", re.DOTALL)
_OPTION = re.compile(rf"^--?{_NAME}$")
# In py-spy's file, names of processes are JSON strings of whole command lines.
_PROCESS = re.compile(rb'"process \d+:(?:[^"\\]|\\.)*"')
_IN_LINE = re.compile(
    rb"://[^/\s:@\"\\]*:([^@/\s\"\\]+)@"
    rb"|(?i:[\w.-]*(?:password|passwd|token|secret|key))[ =]([^\s\"\\]+)"
)


def words(given: Iterable[str]) -> list[str]:
    """The words of a command line with what is secret blanked."""
    found: list[str] = []
    follows = False
    for word in given:
        if follows and not word.startswith("-"):
            found.append(_HIDDEN)
        else:
            found.append(_ADDRESS.sub(rf"\1{_HIDDEN}@", _GIVEN.sub(rf"\1{_HIDDEN}", word)))
        follows = bool(_OPTION.match(word))
    return found


def in_file(path: Path) -> None:
    """Blank the command lines in a file of py-spy's where they stand, by as many asterisks.

    Cost: one walk over the file, which need not fit into memory. Raises OSError.
    """
    if path.stat().st_size == 0:
        return
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        spans = [
            (process.start() + secret.start(i), process.start() + secret.end(i))
            for process in _PROCESS.finditer(content)
            for secret in _IN_LINE.finditer(process[0])
            for i in (1, 2)
            if secret[i] is not None
        ]
        for start, end in spans:
            content[start:end] = b"*" * (end - start)
