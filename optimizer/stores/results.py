"""The result of a trial, written whole to a path that is known before the trial begins.

Nobody lists a folder to find it: `result_path` names it from the study and the trial's number, the
trial is handed that path, and `write_result` returns it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from optimizer.errors import (
    StoreArgumentError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StorePathError,
    StoreReadOnlyError,
)
from optimizer.stores._arguments import absolute, require_name
from optimizer.stores._encoding import to_json
from optimizer.stores.records_json import direct

_READ_BYTES = 8 * 1024  # a larger buffer costs more than a second read
_SHOWN = 50  # characters of a name in its temporary one: 200 bytes at most, of 255 for all
MAX_NAME_BYTES = 120  # of an escaped study name; file systems allow 255 for a name

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_ESCAPED = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256)]
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_FULL = frozenset(("ENOSPC", "EDQUOT", "EFBIG"))
_DENIED = frozenset(("EACCES", "EPERM", "EROFS"))


def result_path(folder: str | os.PathLike[str], study: str, number: int) -> Path:
    """The path of a trial's result: `folder/study-NAME/trial-NUMBER.json`.

    Two pairs of study and number never share a path, on file systems that ignore case neither. In
    NAME, every byte of the UTF-8 form but a-z, 0-9, `-` and `_` is written as `%` and two
    hexadecimal digits, so that it leads nowhere else; where that gets long, its end gives way to
    `~` and a hash. Touches no file. Cost: linear in the name.

    Parameters
    ----------
    folder : str or os.PathLike
        Where the results of all studies lie.
    study : str
        Any text that is not empty.
    number : int
        The trial's number, from 0.

    Raises
    ------
    StoreArgumentError
        A study or a number that is not one.

    Examples
    --------
    >>> result_path("results", "../EURUSD", 7).as_posix()
    'results/study-%2E%2E%2F%45%55%52%55%53%44/trial-00000007.json'
    """
    if type(number) is not int or number < 0:
        raise StoreArgumentError(f"the trial number is {number!r}, expected an integer from 0.")
    return Path(os.fsdecode(folder), f"study-{escape(study)}", f"trial-{number:08d}.json")


def escape(name: str) -> str:
    """A text as a part of a file's name, another for every other text; see `result_path`."""
    data = require_name(name).encode()
    escaped = "".join(map(_ESCAPED.__getitem__, data))
    if len(escaped) <= MAX_NAME_BYTES:
        return escaped
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    return f"{escaped[: MAX_NAME_BYTES - 33]}~{digest}"


def write_result(path: str | os.PathLike[str], result: Any) -> Path:
    """Write a result as JSON at exactly this path, and return the path, absolute.

    Atomic: whoever reads the path finds the old result or the new one, never a part. Durable: what
    a call that returned has written survives a power cut, where the file system can bring a folder
    to the disk. The folder is created if need be, and those it lies in. A process that is killed
    may leave a file `.NAME.*.tmp` behind, which nothing reads.

    Cost: a file written, two fsyncs, a rename; the same however many files lie in the folder. An
    fsync more for each folder that is created.

    Raises
    ------
    EvaluationError
        A result that JSON cannot hold exactly; NaN and infinities it can.
    StorePathError, StoreFullError, StoreReadOnlyError, StoreError
        The file cannot be written; an older one is as it was.
    StoreError
        With the words "was written": readers find the new result, but the disk failed to keep its
        name, so that a power cut may bring back what was there before.
    """
    return write_atomically(path, to_json(result, "the result").encode())


def read_result(path: str | os.PathLike[str]) -> Any:
    """The result at a path. Cost: one open, one read; nothing is listed.

    Raises
    ------
    StorePathError
        There is none, or it cannot be read.
    StoreCorruptError
        It is not whole JSON, so `write_result` did not write it.
    """
    name = absolute(path)
    try:
        data = _read(name)
    except OSError as error:
        raise StorePathError(
            f"no result can be read at {name!r}: {error.strerror}. Expected the path that"
            " write_result returned."
        ) from None
    return parse_file(data, name)


def _read(path: str) -> bytes:
    """The whole file. Cost: less than `open` for a small one."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        parts = [os.read(descriptor, _READ_BYTES)]
        while len(parts[-1]) == _READ_BYTES:
            parts.append(os.read(descriptor, _READ_BYTES))
    finally:
        os.close(descriptor)
    return b"".join(parts)


def parse_file(data: bytes, name: str) -> Any:
    """The value of a file that `write_atomically` was given as JSON.

    Raises
    ------
    StoreCorruptError
        It is not whole JSON.
    """
    try:
        return direct()(data)
    except ValueError as error:
        raise StoreCorruptError(
            f"{name!r} is damaged or not ours: {error}. Expected one whole JSON value. Restore it"
            " from a copy, or move it away."
        ) from None


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Put `data` at `path` whole or not at all, past the disk's cache; the path, absolute.

    Any number of threads and processes may write one path at once; the last one stands. Errors: as
    `write_result`.
    """
    target = absolute(path)
    folder, name = os.path.split(target)
    beside = os.path.join(folder, f".{name[:_SHOWN]}.{os.getpid()}-{secrets.token_hex(8)}.tmp")
    try:
        opened = _open_folder(folder)  # what refuses this must do so before anything is written
        try:
            _write_and_replace(data, beside, target)
            if opened is not None:
                _sync_name(opened, target)
        finally:
            if opened is not None:
                os.close(opened)
    except OSError as error:
        raise _translate(error, target) from error
    return Path(target)


def _open_folder(folder: str) -> int | None:
    """A descriptor of the folder, which is created if need be; None on Windows, which has none."""
    if os.name != "posix":
        os.makedirs(folder, exist_ok=True)
        return None
    try:
        return os.open(folder, _FOLDER)
    except FileNotFoundError:
        _make_folder(folder)
        return os.open(folder, _FOLDER)


def _make_folder(folder: str) -> None:
    """Create it, after the folders it lies in; each of their names reaches the disk."""
    parent = os.path.dirname(folder)
    if not os.path.isdir(parent):
        _make_folder(parent)
    with suppress(FileExistsError):  # another was faster
        os.mkdir(folder)
    opened = os.open(parent, _FOLDER)
    try:
        _sync_folder(opened)
    finally:
        os.close(opened)


def _write_and_replace(data: bytes, beside: str, target: str) -> None:
    descriptor = os.open(beside, _NEW, 0o666)
    try:
        try:
            while data:  # a disk that fills up may take a part
                data = data[os.write(descriptor, data) :]
            _sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _sync(descriptor: int) -> None:
    """To the disk; on macOS past the disk's own cache, which fsync leaves alone there."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def _sync_folder(descriptor: int) -> None:
    """To the disk, where the file system does that to folders."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise


def _sync_name(descriptor: int, path: str) -> None:
    """The rename lies in the folder, which has to reach the disk too."""
    try:
        _sync_folder(descriptor)
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "unknown")
        raise StoreError(
            f"{path!r} was written, but its name did not reach the disk: {error.strerror} ({code})."
            " A power cut may bring back what was there before. Look at the system's log, and"
            " repeat the call."
        ) from error


def _translate(error: OSError, path: str) -> StoreError:
    code = errno.errorcode.get(error.errno or 0, "unknown")
    found = f"{path!r} cannot be written: {error.strerror} ({code})."
    if code in _FULL:
        return StoreFullError(f"{found} Nothing was stored. Make room and repeat the call.")
    if code in _DENIED:
        return StoreReadOnlyError(
            f"{found} Give this user permission to read and write its folder, or choose another"
            " path."
        )
    if code in ("ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "EEXIST", "EINVAL"):
        return StorePathError(f"{found} Expected the path of a file, in a folder or a new one.")
    return StoreError(f"{found} Expected a file on a working disk; look at the system's log.")
