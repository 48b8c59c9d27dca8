"""From what went wrong in SQLite or on disk to the one error that says so."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress

from optimizer.errors import (
    StoreClosedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    StorePathError,
    StoreReadOnlyError,
)
from optimizer.stores import _schema

# From Python 3.13 on, a damaged name in SQLite's own message fails to decode instead.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)

_PRIMARY = 0xFF  # SQLite's extended codes carry the primary code in the low byte

# A write that failed for another reason than ENOSPC: a quota or a file size limit.
_NO_ROOM = frozenset(
    (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
)
_READ_ONLY = frozenset((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM))

# Bytes SQLite locks: the writer's in the shared-memory file, and the pending, reserved and shared
# bytes in the main file (rollback mode, exclusive users).
_WAL_WRITE_BYTES = (120, 120)
_MAIN_BYTES = (0x40000000, 0x40000000 + 511)


def translate(error: sqlite3.Error | UnicodeDecodeError, path: str, timeout_s: float) -> StoreError:
    """The error of this package for one of sqlite3's.

    Reads the disk to say more; changes nothing. `timeout_s` is the time-out that was in force.
    """
    if isinstance(error, UnicodeDecodeError):
        return _schema.damaged(path, f"a text in it is not UTF-8 ({error})")
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return _without_code(error, path)
    primary = code & _PRIMARY
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return _locked(path, timeout_s)
    if code in _NO_ROOM:
        return _full(error, path)
    if primary == sqlite3.SQLITE_NOTADB:
        return _schema.not_a_database(path)
    if primary == sqlite3.SQLITE_CORRUPT or (
        primary == sqlite3.SQLITE_ERROR and "no such" in str(error)
    ):
        return _schema.damaged(path, str(error))
    if primary in _READ_ONLY:
        return _read_only(path, str(error))
    if primary == sqlite3.SQLITE_CANTOPEN:
        try:
            require_usable(path)
        except StoreError as better:
            return better
    return StoreError(
        f"{path!r} could not be used: {error} ({error.sqlite_errorname}). Expected a file on a"
        " working local disk and a free file descriptor; look for errors of the disk in the"
        " system's log."
    )


def require_usable(path: str) -> None:
    """Raise unless `path` is a writable regular file, or could become one.

    Raises
    ------
    StorePathError
        A folder, a device or a pipe, or a parent folder that is not there.
    StoreReadOnlyError
        The file or its folder cannot be written to.
    """
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise StorePathError(
            f"the folder {folder!r} of the store {path!r} is not there. Create it first, or choose"
            " another path."
        )
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise StorePathError(
            f"{path!r} cannot be reached: {error.strerror}. Expected a path to a file this user may"
            " read and write."
        ) from error
    if mode is not None and not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise StorePathError(
            f"{path!r} is {kind}, expected a file. Choose the path of a file, for example"
            f" {os.path.join(path, 'seen.db')!r}."
        )
    if mode is not None and not _writable(path, os.R_OK | os.W_OK):
        raise _read_only(path, "no permission to read and write the file")
    if not _writable(folder, os.W_OK | os.X_OK):
        raise _read_only(path, f"no permission to create files beside it in {folder!r}")


def _writable(path: str, wanted: int) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, wanted, effective_ids=effective)


def _read_only(path: str, found: str) -> StoreReadOnlyError:
    return StoreReadOnlyError(
        f"{path!r} is read-only: {found}. A store writes to its file and keeps a write-ahead log"
        " beside it. Give this user write permission to the file and its folder, or choose another"
        " path."
    )


def _full(error: sqlite3.Error, path: str) -> StoreFullError:
    free = "unknown"
    with suppress(OSError):
        disk = os.statvfs(os.path.dirname(os.path.realpath(path)))
        free = f"{disk.f_bavail * disk.f_frsize} bytes"
    return StoreFullError(
        f"no room left to write to {path!r} ({error.sqlite_errorname}; free on its disk: {free}):"
        " the disk, a quota or a file size limit is exhausted. Nothing of this call was stored."
        " Make room and repeat it."
    )


def _locked(path: str, timeout_s: float) -> StoreLockedError:
    me = os.getpid()
    holders = [
        "this process (another thread or connection)" if pid == me else f"process {pid}"
        for pid in lock_holders(path)
    ]
    holder = " and ".join(holders) or "an unknown process (its lock is free again or not visible)"
    return StoreLockedError(
        f"{path!r} stayed locked for longer than timeout_s={timeout_s:g}, by {holder}. Nothing of"
        " this call was stored. Repeat it, end the holder, or raise timeout_s."
    )


def lock_holders(path: str) -> list[int]:
    """Process ids that hold SQLite's write lock on the file just now, where the kernel tells.

    Read from /proc/locks: asking by `fcntl` needs a descriptor, and closing it would drop the
    locks of this process. Empty on other systems.
    """
    wanted = {}
    for name, span in ((path, _MAIN_BYTES), (os.path.realpath(path) + "-shm", _WAL_WRITE_BYTES)):
        with suppress(OSError):
            found = os.stat(name)
            device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
            wanted[f"{device}:{found.st_ino}"] = span
    holders = set()
    with suppress(OSError, ValueError), open("/proc/locks", encoding="ascii") as lines:
        for line in lines:
            fields = line.split()
            if len(fields) != 8 or fields[3] != "WRITE" or fields[5] not in wanted:
                continue  # a waiting process has an arrow as a ninth field
            first, last = wanted[fields[5]]
            end = float("inf") if fields[7] == "EOF" else int(fields[7])
            if int(fields[6]) <= last and end >= first and int(fields[4]) > 0:
                holders.add(int(fields[4]))
    return sorted(holders)


def _without_code(error: sqlite3.Error, path: str) -> StoreError:
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return closed(path, "it was closed")
    return StoreError(f"{path!r} could not be used: {error}.")


def closed(path: str, reason: str) -> StoreClosedError:
    """The error for a store that is not open any more."""
    return StoreClosedError(
        f"the store {path!r} cannot be used any more: {reason}. Expected an open store; open a new"
        " one."
    )
