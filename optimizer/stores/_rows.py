"""The rows of evaluations and trials: what is written together, inside one transaction.

Ages and leases go by SQLite's `now`, in milliseconds since 1970.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from optimizer.errors import TrialFinishedError
from optimizer.protocols import Signature
from optimizer.stores import _schema
from optimizer.stores._encoding import FINISHED, STATES

NOW_MS = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
FOREVER_MS = 2**62

NAMESPACE = "SELECT id FROM namespaces WHERE study = ? AND fingerprint = ?"
NEW_NAMESPACE = "INSERT INTO namespaces (study, fingerprint) VALUES (?, ?) ON CONFLICT DO NOTHING"
GENERATION = "SELECT generation FROM namespaces WHERE id = ?"
ENTRIES = "SELECT entries FROM namespaces WHERE id = ?"
# The clock is a constant of this module; every value is bound.
LIVING = f"SELECT count(*) FROM evaluations WHERE namespace = ? AND stored > {NOW_MS} - ?"  # noqa: S608
_FIND = (
    "SELECT signature, value, attributes, attempt, stored,"  # noqa: S608 - see above
    " (SELECT generation FROM namespaces WHERE id = namespace)"
    f" FROM evaluations WHERE namespace = ? AND stored > {NOW_MS} - ? AND signature"
)
FIND = _FIND + " = ?"
_STATE = "SELECT tick, entries FROM namespaces WHERE id = ?"
_UPDATE_STATE = (
    "UPDATE namespaces SET tick = tick + ?, entries = entries + ?, generation = generation + ?"
    " WHERE id = ?"
)
_INSERT = (
    "INSERT INTO evaluations"  # noqa: S608 - see above
    " (namespace, used, signature, value, attributes, attempt, stored)"
    f" VALUES (?, ?, ?, ?, ?, ?, {NOW_MS}) ON CONFLICT DO NOTHING"
)
_USE = "UPDATE evaluations SET used = ? WHERE namespace = ? AND signature = ?"
_EXPIRE = f"DELETE FROM evaluations WHERE namespace = ? AND stored <= {NOW_MS} - ?"  # noqa: S608 - see above
_EVICT = (
    "DELETE FROM evaluations WHERE namespace = ? AND signature IN"
    " (SELECT signature FROM evaluations WHERE namespace = ? ORDER BY used LIMIT ?)"
)
_NAMESPACES = "SELECT id, fingerprint FROM namespaces WHERE study = ?"
_ENDED = f"DELETE FROM claims WHERE namespace = ? AND lease <= {NOW_MS}"  # noqa: S608 - see above
_FORGET = "DELETE FROM evaluations WHERE namespace = ? AND signature = ?"
_CLEAR = "DELETE FROM evaluations WHERE namespace = ?"
_TELL = (
    "INSERT INTO trials"  # noqa: S608 - numbers of this package
    " (study, number, state, params, value, attributes, signature, started, finished)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (study, number) DO UPDATE SET"
    " state = excluded.state, params = excluded.params, value = excluded.value,"
    " attributes = excluded.attributes, signature = excluded.signature,"
    " started = excluded.started, finished = excluded.finished"
    f" WHERE state NOT IN ({','.join(str(STATES.index(state)) for state in FINISHED)})"
)

EvaluationRow = tuple[Signature, bytes, "str | None", int]
"""Signature, packed values, attributes as JSON, attempt."""


class Limits(NamedTuple):
    """What a cache keeps: entries at most, and milliseconds."""

    maxsize: int | None
    ttl_ms: int | None

    @property
    def age_ms(self) -> int:
        """The age at which an entry is not served any more."""
        return FOREVER_MS if self.ttl_ms is None else self.ttl_ms


class Written(NamedTuple):
    """What a transaction did."""

    new: int
    expired: int
    evicted: int


@lru_cache(maxsize=64)
def find_among(count: int) -> str:
    """The query for that many signatures."""
    return f"{_FIND} IN ({','.join('?' * count)})"


def write(
    raw: sqlite3.Connection,
    path: str,
    namespace: int,
    limits: Limits,
    rows: Sequence[EvaluationRow],
    uses: Sequence[Signature] = (),
) -> Written:
    """Note uses, drop what expired, insert what is not there, then make room.

    Call it inside a transaction. Cost: four statements and one for each row and use; two more
    where there is a time to live or no room.
    """
    expired = 0
    if limits.ttl_ms is not None:
        expired = raw.execute(_EXPIRE, (namespace, limits.ttl_ms)).rowcount
    found = raw.execute(_STATE, (namespace,)).fetchone()
    if found is None:
        raise _schema.damaged(path, f"the namespace {namespace} is not there any more")
    tick, entries = found
    if uses:
        used = ((tick + i, namespace, signature) for i, signature in enumerate(uses, 1))
        raw.executemany(_USE, used)
    new = 0
    if rows:
        first = tick + len(uses) + 1
        values = ((namespace, first + i, *row) for i, row in enumerate(rows))
        new = raw.executemany(_INSERT, values).rowcount
    evicted = 0
    excess = 0 if limits.maxsize is None else entries - expired + new - limits.maxsize
    if excess > 0:
        evicted = raw.execute(_EVICT, (namespace, namespace, excess)).rowcount
    gone = expired + evicted
    if new or gone or uses:
        step = len(uses) + len(rows)
        raw.execute(_UPDATE_STATE, (step, new - gone, gone > 0, namespace))
    return Written(new, expired, evicted)


def remove(raw: sqlite3.Connection, namespace: int, signature: Signature | None) -> int:
    """Remove one evaluation, or all; how many there were. Call it inside a transaction."""
    if signature is None:
        gone = raw.execute(_CLEAR, (namespace,)).rowcount
    else:
        gone = raw.execute(_FORGET, (namespace, signature)).rowcount
    if gone:
        raw.execute(_UPDATE_STATE, (0, -gone, 1, namespace))
    return gone


def forget_others(raw: sqlite3.Connection, study: int, kept: Collection[bytes]) -> int:
    """Remove the evaluations and ended claims of all other fingerprints; how many evaluations.

    The row of a namespace stays: whoever has it open would write to one that another fingerprint
    may get, for SQLite gives an id anew. Call it inside a transaction.
    """
    gone = 0
    for namespace, fingerprint in raw.execute(_NAMESPACES, (study,)).fetchall():
        if fingerprint not in kept:
            gone += remove(raw, namespace, None)
            raw.execute(_ENDED, (namespace,))
    return gone


def tell(raw: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    """Store a trial's row, unless its number is finished. Call it inside a transaction."""
    if raw.execute(_TELL, row).rowcount != 1:
        raise TrialFinishedError(
            f"found trial {row[1]} of this study finished already, expected a new or an unfinished"
            " one: finished trials never change. Nothing of this call was stored."
        )
