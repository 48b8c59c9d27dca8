"""Evaluations as memory keeps them, as callers get them, and those that cannot be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

from optimizer.errors import StoreCorruptError
from optimizer.protocols import Evaluation, Signature
from optimizer.stores import _schema
from optimizer.stores._connection import Database
from optimizer.stores._encoding import UNREADABLE, attributes_of, unpack
from optimizer.stores._part import CHUNK

_MALFORMED = (
    "SELECT count(*) FROM evaluations WHERE typeof(signature) <> 'blob' OR length(signature) <> 16"
    " OR typeof(value) <> 'blob' OR length(value) = 0 OR length(value) % 8 <> 0"
)
_MISCOUNTED = (
    "SELECT count(*) FROM namespaces WHERE entries <>"
    " (SELECT count(*) FROM evaluations WHERE namespace = namespaces.id)"
)
_ATTRIBUTES = (
    "SELECT namespace, signature, attributes FROM evaluations"  # noqa: S608 - a constant of ours
    " WHERE (namespace, signature) > (?, ?) AND attributes IS NOT NULL"
    f" ORDER BY namespace, signature LIMIT {CHUNK}"
)
_SET = [vars(Evaluation)[name].__set__ for name in ("values", "attributes", "attempt")]


class Entry(NamedTuple):
    """An evaluation as memory keeps it, with the generation of the namespace it was read in."""

    values: tuple[float, ...]
    attributes: str | None
    attempt: int
    stored_ms: int
    generation: int

    def evaluation(self) -> Evaluation:
        """It as a caller gets it; UNREADABLE if it is damaged."""
        return Evaluation(self.values, attributes_of(self.attributes), self.attempt)


def evaluations_of(entries: Sequence[Any]) -> list[Evaluation | None]:
    """`evaluation` of each, none of which is missing, past the slow guard of a frozen class."""
    values, attributes, attempts = (map(itemgetter(place), entries) for place in range(3))
    found = list[Any](map(object.__new__, repeat(Evaluation, len(entries))))
    for set_field, column in zip(
        _SET, (values, map(attributes_of, attributes), attempts), strict=True
    ):
        deque(map(set_field, found, column), 0)
    return found


def unreadable(
    path: str, values: Iterable[tuple[Signature, Any]], texts: Iterable[tuple[Signature, Any]]
) -> StoreCorruptError:
    """The error that names the first packed values, or else attributes, that cannot be read."""
    for read, pairs in ((unpack, values), (attributes_of, texts)):
        for signature, stored in pairs:
            try:
                read(stored)
            except UNREADABLE as error:
                return _schema.damaged(
                    path,
                    f"the evaluation of {signature.hex()} cannot be read ({error}); `forget` it",
                )
    return _schema.damaged(path, "an evaluation cannot be read")


def require_whole(database: Database) -> None:
    """Raise StoreCorruptError unless all evaluations of a file are whole and counted.

    Cost: reads them all. Not by SQLite's `json_valid`: it refuses NaN, which attributes may hold.
    """
    for query, what in (
        (_MALFORMED, "evaluations are malformed"),
        (_MISCOUNTED, "namespaces have another number of entries than they say"),
    ):
        ((count,),) = database.fetch(query)
        if count:
            raise _schema.damaged(database.path, f"{count} {what}")
    after: tuple[int, bytes] = (-1, b"")
    while rows := database.fetch(_ATTRIBUTES, after):
        try:
            deque(map(attributes_of, map(itemgetter(2), rows)), 0)
        except UNREADABLE:
            raise unreadable(database.path, (), map(itemgetter(1, 2), rows)) from None
        after = rows[-1][:2]
