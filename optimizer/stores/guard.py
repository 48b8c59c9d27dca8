"""NoDupeGuard: the signatures a study has tried, kept in a file that many processes share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat

from optimizer.errors import SignatureError
from optimizer.protocols import Signature
from optimizer.signature import SIGNATURE_BYTES
from optimizer.stores import _schema
from optimizer.stores._arguments import refusal, require_signature
from optimizer.stores._part import CHUNK, Part

__all__ = ["NoDupeGuard"]

_SEEN = "SELECT 1 FROM signatures WHERE study = ? AND signature = ?"
_ADD = "INSERT INTO signatures (study, signature) VALUES (?, ?) ON CONFLICT DO NOTHING"
_REMOVE = "DELETE FROM signatures WHERE study = ? AND signature = ?"
_CLEAR = "DELETE FROM signatures WHERE study = ?"
_COUNT = "SELECT count(*) FROM signatures WHERE study = ?"
_MALFORMED = (
    "SELECT count(*) FROM signatures WHERE typeof(signature) <> 'blob' OR length(signature) <> ?"
)


class NoDupeGuard(Part):
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

    def seen(self, signature: Signature) -> bool:
        """Whether the signature was added before, by any process. Cost: one query."""
        require_signature(signature)
        return bool(self._database.fetch(_SEEN, (self._study_id, signature)))

    def add(self, signature: Signature) -> bool:
        """Add it; True if it was new, to exactly one of many who add it. Cost: one statement."""
        require_signature(signature)
        return self._database.change(_ADD, (self._study_id, signature)) == 1

    def seen_batch(self, signatures: Iterable[Signature]) -> list[bool]:
        """`seen` of each, in order.

        Cost: one query per 500 signatures. Each query sees one moment; another process may add
        between two of them.
        """
        wanted = require_signatures(signatures)
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
        wanted = require_signatures(signatures)
        if not wanted:
            return 0
        return self._database.change_many(_ADD, zip(repeat(self._study_id), wanted, strict=False))

    def remove(self, signature: Signature) -> bool:
        """Forget it; True if it was there. Cost: one statement."""
        require_signature(signature)
        return self._database.change(_REMOVE, (self._study_id, signature)) == 1

    def clear(self) -> int:
        """Forget all signatures of this study; how many there were. Cost: reads them all."""
        return self._database.change(_CLEAR, (self._study_id,))

    def check(self) -> None:
        """Raise StoreCorruptError unless the file and all its signatures are whole.

        Cost: reads the whole file, all studies.
        """
        super().check()
        ((malformed,),) = self._database.fetch(_MALFORMED, (SIGNATURE_BYTES,))
        if malformed:
            raise _schema.damaged(
                self.path, f"{malformed} signatures are not {SIGNATURE_BYTES} bytes"
            )

    def __len__(self) -> int:
        """How many signatures this study has. Cost: one query that reads them all."""
        ((count,),) = self._database.fetch(_COUNT, (self._study_id,))
        return int(count)

    def __contains__(self, signature: Signature) -> bool:
        return self.seen(signature)


@lru_cache(maxsize=CHUNK)
def _seen_among(count: int) -> str:
    places = ",".join("?" * count)
    return f"SELECT signature FROM signatures WHERE study = ? AND signature IN ({places})"  # noqa: S608 - only question marks are formatted in


def require_signatures(signatures: Iterable[Signature]) -> list[Signature]:
    """The signatures as a list; SignatureError names the first that is none, and its place."""
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
                raise refusal(signature, f" at index {index} of the batch")
    return wanted
