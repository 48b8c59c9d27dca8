"""A file that is parsed once per version."""

from __future__ import annotations

import hashlib
import operator
import os
import stat
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from optimizer.errors import ConfigurationError

Value = TypeVar("Value")

_SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system in use, FAT's
_MOST_READS = 5  # of a file that changes while it is read


_Version = tuple[int, ...]
# With the time of the change itself, a file put back with its old time is another version too.
_version: Callable[[os.stat_result], _Version] = operator.attrgetter(
    "st_mtime_ns", "st_size", "st_ino", "st_dev", "st_ctime_ns"
)


class _State(NamedTuple, Generic[Value]):
    version: _Version
    settled: bool  # whether another write would show in the version
    digest: bytes
    value: Value


class VersionedFile(Generic[Value]):
    """What a file holds, parsed once for each version of the file.

    Promises: `value()` is of the file as it was at some moment of the call (with `recheck_s`,
    of that long before), and never of a half-read file. Thread-safe: many threads that meet a new
    version parse it once. A version is the modification and change time, size, inode and device; as
    a write within one tick of the file system's clock leaves those as they were, a file written
    in the last two seconds is read again and compared. A forked child goes on with what was
    parsed; a pickled one reads the file anew.

    Cost: one `stat` where nothing changed; within `recheck_s` of the last look a clock only.

    Args:
        path: the file; relative to the working directory of now, whatever that is later.
        parse: bytes -> value; what it raises is passed on, and nothing is kept.
        recheck_s: seconds for which a change may go unnoticed, at least 0.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parse: Callable[[bytes], Value],
        *,
        recheck_s: float = 0.0,
    ) -> None:
        if isinstance(recheck_s, bool) or not recheck_s >= 0.0:
            raise ConfigurationError(f"found recheck_s {recheck_s!r}, expected seconds, at least 0")
        self.path = os.path.abspath(os.fspath(path))
        self.recheck_s = recheck_s
        self._parse = parse
        self._state: _State[Value] | None = None
        self._look_again_at = -1.0
        self._lock = threading.RLock()
        _files.add(self)

    def value(self) -> Value:
        """What the file holds now: the same object to all who ask, so not to be changed.

        Raises:
            ConfigurationError: the file is not there, is no file, or cannot be read.
        """
        state = self._state
        if state is not None:
            if self.recheck_s and time.monotonic() < self._look_again_at:
                return state.value
            if state.settled:
                try:
                    version = _version(
                        os.stat(self.path)
                    )  # here, not in a method: it is a hot path
                except OSError as error:
                    _refuse(self.path, error)
                if version == state.version:
                    if self.recheck_s:
                        self._looked()
                    return state.value
        with self._lock:
            return self._load()

    def _looked(self) -> None:
        if self.recheck_s:
            self._look_again_at = time.monotonic() + self.recheck_s

    def _load(self) -> Value:
        old = self._state  # another thread may have loaded it meanwhile
        if old is not None and old.settled and old.version == self._version():
            return old.value
        version, data, settled = self._read()
        digest = hashlib.blake2b(data, digest_size=16).digest()
        same = old is not None and old.digest == digest
        value = old.value if old is not None and same else self._parse(data)
        self._state = _State(version, settled, digest, value)
        self._looked()
        return value

    def _version(self) -> _Version:
        try:
            return _version(os.stat(self.path))
        except OSError as error:
            _refuse(self.path, error)

    def _read(self) -> tuple[_Version, bytes, bool]:
        for _ in range(_MOST_READS):
            now = time.time_ns()
            before, data, after = read_file(self.path)
            if before == after:
                mtime_ns = after[0]
                return after, data, abs(now - mtime_ns) > _SETTLED_NS
        raise ConfigurationError(
            f"{self.path}: found it changed during each of {_MOST_READS} reads, expected a file at "
            f"rest; write a new file beside it and rename that"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self._parse, self.recheck_s)


def _reopened(path: str, parse: Callable[[bytes], Value], recheck_s: float) -> VersionedFile[Value]:
    return VersionedFile(path, parse, recheck_s=recheck_s)


_files: weakref.WeakSet[VersionedFile[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for file in list(_files):
        file._lock = threading.RLock()  # the old one may be held by a thread that is not there


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def read_file(path: str) -> tuple[_Version, bytes, _Version]:
    """The bytes of a file, between its versions before and after."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for a writer
            raise ConfigurationError(f"{path}: found no regular file, expected one")
        with open(path, "rb", buffering=0) as file:
            before = _version(os.fstat(file.fileno()))
            data = file.readall()
            return before, data, _version(os.fstat(file.fileno()))
    except OSError as error:
        _refuse(path, error)


def _refuse(path: str, error: OSError) -> NoReturn:
    found = error.strerror or type(error).__name__
    raise ConfigurationError(
        f"{path}: found {found!r} on opening it, expected a file to read; check the path and its "
        f"permissions"
    ) from None
