"""Files of ours: whole or not there, and out of git's sight."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # where Linux keeps files in memory
ROOM_BYTES = 2**30


def replace(file: Path, text: str) -> None:
    """Write `text` to a temporary file beside `file`, sync it, and rename it into place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=file.parent, prefix=".unfinished-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, file)
    except BaseException:
        os.unlink(unfinished)
        raise


def hide(folder: Path) -> None:
    """Make `folder` one that git does not list, wherever it lies."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        replace(ignore, "*\n")


def in_memory() -> Path | None:
    """A folder whose files lie in memory, if there is one with a gigabyte to spare."""
    try:
        room = os.statvfs(MEMORY)
    except (AttributeError, OSError):  # Windows, macOS
        return None
    enough = room.f_bavail * room.f_frsize >= ROOM_BYTES
    return MEMORY if enough and os.access(MEMORY, os.W_OK | os.X_OK) else None
