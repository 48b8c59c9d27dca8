"""NoDupeGuard: the signatures a study has tried, kept in a file that many processes share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat
from types import TracebackType

from optimizer.errors import SignatureError, StoreArgumentError
from optimizer.protocols import Signature
from optimizer.stores import _schema
from optimizer.stores._connection import Database

__all__ = ["NoDupeGuard"]

SIGNATURE_BYTES = 16
CHUNK = 500  # signatures asked for by one query

_SEEN = "SELECT 1 FROM signatures WHERE study = ? AND signature = ?"
_ADD = "INSERT INTO signatures (study, signature) VALUES (?, ?) ON CONFLICT DO NOTHING"
_REMOVE = "DELETE FROM signatures WHERE study = ? AND signature = ?"
_CLEAR = "DELETE FROM signatures WHERE study = ?"
_COUNT = "SELECT count(*) FROM signatures WHERE study = ?"
_MALFORMED = (
    "SELECT count(*) FROM signatures WHERE typeof(signature) <> 'blob' OR length(signature) <> ?"
)
_STUDY = "SELECT id FROM studies WHERE name = ?"
_NEW_STUDY = "INSERT INTO studies (name) VALUES (?) ON CONFLICT DO NOTHING"


class NoDupeGuard:
    """A set of 16-byte signatures that outlives the process, one namespace per study.

    Any number of threads and processes may use one file at once; a guard may be used from every
    thread, pickled to another process, and used on both sides of a fork. Each thread keeps one
    connection until it ends or the guard is closed. What a call acknowledged is stored: under
    `durability="process"` it survives the death of the process at any moment, under `"power"` a
    power cut too. A call that raises has changed nothing. Order is not kept.

    A fork waits for calls under way in other threads. A fork made by a signal handler in the
    middle of a call cannot wait for that call: the guard says so when the child uses it.

    Cost: see each method; a statement is one of SQLite's. Opening reads the header, and writes
    only where the file or the study is new.

    Parameters
    ----------
    path : str or os.PathLike
        The file; created if it is not there or has no bytes at all.
    study : str
        The namespace; any text that is not empty.
    durability : {"process", "power"}
        What a call that returned survives.
    timeout_s : float
        How long a call waits for other writers, in seconds, before it raises.

    Raises
    ------
    StoreArgumentError
        A study, durability or time-out that is not one.
    StorePathError, ForeignFileError, NewerSchemaError, StoreLockedError, StoreReadOnlyError, \
StoreCorruptError, StoreFullError
        The file cannot be used, and was left as it was. Every method raises the last four too.
    StoreClosedError
        By every method, after `close`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with NoDupeGuard(folder.name + "/seen.db", study="momentum") as guard:
    ...     guard.add(bytes(16)), guard.add(bytes(16)), guard.seen(bytes(16))
    (True, False, True)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        study: str = "default",
        durability: str = "process",
        timeout_s: float = 10.0,
    ) -> None:
        self.study = _require_name(study)
        self._database = Database(path, durability=durability, timeout_s=timeout_s)
        try:
            self._study_id = self._resolve_study()
        except BaseException:
            self._database.close()
            raise

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._database.path

    def seen(self, signature: Signature) -> bool:
        """Whether the signature was added before, by any process. Cost: one query."""
        _require_signature(signature)
        return bool(self._database.fetch(_SEEN, (self._study_id, signature)))

    def add(self, signature: Signature) -> bool:
        """Add it; True if it was new, to exactly one of many who add it. Cost: one statement."""
        _require_signature(signature)
        return self._database.change(_ADD, (self._study_id, signature)) == 1

    def seen_batch(self, signatures: Iterable[Signature]) -> list[bool]:
        """`seen` of each, in order.

        Cost: one query per 500 signatures. Each query sees one moment; another process may add
        between two of them.
        """
        wanted = _require_signatures(signatures)
        found: set[Signature] = set()
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            # A row is a tuple of one signature.
            found.update(*self._database.fetch(_seen_among(len(chunk)), (self._study_id, *chunk)))
        return list(map(found.__contains__, wanted))

    def add_batch(self, signatures: Iterable[Signature]) -> int:
        """Add all or none; how many were new, repetitions counted once.

        Cost: one transaction: one statement per signature, prepared once, and two around them.
        """
        wanted = _require_signatures(signatures)
        if not wanted:
            return 0
        return self._database.change_many(_ADD, zip(repeat(self._study_id), wanted, strict=False))

    def remove(self, signature: Signature) -> bool:
        """Forget it; True if it was there. Cost: one statement."""
        _require_signature(signature)
        return self._database.change(_REMOVE, (self._study_id, signature)) == 1

    def clear(self) -> int:
        """Forget all signatures of this study; how many there were. Cost: reads them all."""
        return self._database.change(_CLEAR, (self._study_id,))

    def check(self) -> None:
        """Raise StoreCorruptError unless the file and all its signatures are whole.

        Cost: reads the whole file, all studies.
        """
        self._database.check()
        ((malformed,),) = self._database.fetch(_MALFORMED, (SIGNATURE_BYTES,))
        if malformed:
            raise _schema.damaged(
                self.path, f"{malformed} signatures are not {SIGNATURE_BYTES} bytes"
            )
        if self._database.fetch(_STUDY, (self.study,)) != [(self._study_id,)]:
            raise _schema.damaged(self.path, f"study {self.study!r} is not there any more")

    def close(self) -> None:
        """Close the connections of all threads, each after its call under way; may be repeated."""
        self._database.close()

    def __len__(self) -> int:
        """How many signatures this study has. Cost: one query that reads them all."""
        ((count,),) = self._database.fetch(_COUNT, (self._study_id,))
        return int(count)

    def __contains__(self, signature: Signature) -> bool:
        return self.seen(signature)

    def __enter__(self) -> NoDupeGuard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        database = self._database
        return (_reopen, (database.path, self.study, database.durability, database.timeout_s))

    def __repr__(self) -> str:
        return (
            f"NoDupeGuard({self.path!r}, study={self.study!r},"
            f" durability={self._database.durability!r}, timeout_s={self._database.timeout_s:g})"
        )

    def _resolve_study(self) -> int:
        rows = self._database.fetch(_STUDY, (self.study,))
        if not rows:
            self._database.change(_NEW_STUDY, (self.study,))
            rows = self._database.fetch(_STUDY, (self.study,))
        if not rows:
            raise _schema.damaged(self.path, f"study {self.study!r} cannot be found by its name")
        return int(rows[0][0])


def _reopen(path: str, study: str, durability: str, timeout_s: float) -> NoDupeGuard:
    return NoDupeGuard(path, study=study, durability=durability, timeout_s=timeout_s)


@lru_cache(maxsize=CHUNK)
def _seen_among(count: int) -> str:
    places = ",".join("?" * count)
    return f"SELECT signature FROM signatures WHERE study = ? AND signature IN ({places})"  # noqa: S608 - only question marks are formatted in


def _require_name(study: str) -> str:
    if not isinstance(study, str) or not study:
        raise StoreArgumentError(
            f"the study is {study!r} of type {type(study).__name__}, expected a text that is not"
            " empty."
        )
    try:
        study.encode()
    except UnicodeEncodeError as error:
        raise StoreArgumentError(
            f"the study {study!r} holds a lone surrogate at position {error.start}, which has no"
            " UTF-8 form. Expected text that can be encoded."
        ) from None
    return study


def _require_signature(signature: object) -> None:
    # A subclass (numpy.bytes_) may compare or bind in its own way, so the type is exact.
    if type(signature) is not bytes or len(signature) != SIGNATURE_BYTES:
        raise _refusal(signature)


def _require_signatures(signatures: Iterable[Signature]) -> list[Signature]:
    if isinstance(signatures, (bytes, bytearray, memoryview, str)):
        raise SignatureError(
            f"a batch was given as one {type(signatures).__name__} of length {len(signatures)},"
            " expected an iterable of signatures. Wrap a single one in a list."
        )
    wanted = list(signatures)
    if not wanted:
        return wanted
    # Whole-batch tests in C; the slow search for the culprit runs only when there is one.
    if set(map(type, wanted)) != {bytes} or set(map(len, wanted)) != {SIGNATURE_BYTES}:
        for index, signature in enumerate(wanted):
            if type(signature) is not bytes or len(signature) != SIGNATURE_BYTES:
                raise _refusal(signature, f" at index {index} of the batch")
    return wanted


def _refusal(found: object, where: str = "") -> SignatureError:
    what = type(found).__name__
    if isinstance(found, (bytes, bytearray, str)):
        what += f" of length {len(found)}"
    return SignatureError(
        f"found {what}{where} ({_short(found)}), expected a signature: exactly"
        f" {SIGNATURE_BYTES} bytes, as param_signature returns."
    )


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else text[:57] + "..."
