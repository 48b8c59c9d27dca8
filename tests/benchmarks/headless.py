"""A headless Chromium without a network: the text of a page, and its picture. (Not a test file.)"""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1300, 900
BUDGET_MS = 8_000  # of the page's own clock, which runs ahead while nothing happens
TIMEOUT_S = 120.0  # a busy machine starts a browser late


def chromium() -> str:
    """The browser; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(NAMES)} is on PATH: apt-get install chromium")
    return found


@dataclass(frozen=True)
class Browser:
    """Every name but loopback's is refused, so that a page from elsewhere would show."""

    program: str
    folder: Path  # for its profile

    def _run(self, *words: str) -> str:
        command = [
            *(self.program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-dev-shm-usage", f"--user-data-dir={self.folder}", "--hide-scrollbars"),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server"),
            *(f"--window-size={WIDTH},{HEIGHT}", f"--virtual-time-budget={BUDGET_MS}", *words),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def text(self, address: str) -> str:
        """The page after its scripts ran."""
        return self._run("--dump-dom", address)

    def picture(self, address: str, file: Path) -> Picture:
        """A screenshot, kept in `file`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        self._run(f"--screenshot={file}", address)
        return Picture.read(file)


@dataclass(frozen=True)
class Picture:
    """A PNG of 8 bits a channel, as the browser writes it."""

    width: int
    height: int
    channels: int
    rows: tuple[bytes, ...]

    @classmethod
    def read(cls, file: Path) -> Picture:
        contents = file.read_bytes()
        width, height, bits, colours = struct.unpack(">IIBB", contents[16:26])
        assert bits == 8
        channels = {2: 3, 6: 4}[colours]
        at, packed = 8, b""
        while at < len(contents):
            (size,) = struct.unpack(">I", contents[at : at + 4])
            if contents[at + 4 : at + 8] == b"IDAT":
                packed += contents[at + 8 : at + 8 + size]
            at += 12 + size
        lines = zlib.decompress(packed)
        return cls(width, height, channels, tuple(_unfiltered(lines, width * channels, channels)))

    def coloured_columns(self, left: int, top: int) -> int:
        """How many columns right of `left` hold a pixel below `top` that is not grey."""
        found = set()
        for row in self.rows[top:]:
            for x in range(left, self.width):
                if x not in found:
                    red, green, blue = row[x * self.channels : x * self.channels + 3]
                    if max(red, green, blue) - min(red, green, blue) > 60:
                        found.add(x)
        return len(found)


def _unfiltered(lines: bytes, size: int, step: int) -> list[bytes]:
    """The rows of a PNG's pixels; each says how it follows from its neighbours."""
    rows: list[bytes] = []
    above = bytearray(size)
    for start in range(0, len(lines), size + 1):
        kind, row = lines[start], bytearray(lines[start + 1 : start + 1 + size])
        if kind:
            for i in range(size):
                left = row[i - step] if i >= step else 0
                corner = above[i - step] if i >= step else 0
                row[i] = (row[i] + _predicted(kind, left, above[i], corner)) & 255
        rows.append(bytes(row))
        above = row
    return rows


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        return min((left, up, corner), key=lambda one: abs(left + up - corner - one))
    return {1: left, 2: up, 3: (left + up) // 2}[kind]
