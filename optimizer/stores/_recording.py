"""An evaluation that is stored together with the end of an Optuna trial, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.errors import StoreArgumentError
from optimizer.protocols import Claim, Params, Signature
from optimizer.stores import _rows
from optimizer.stores._arguments import signature_of
from optimizer.stores._encoding import attributes_text, pack
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache


class Recording:
    """Where the values of a trial go once it is told, beside the trial itself."""

    __slots__ = ("_attempt", "_attributes", "_cache", "_claim", "_claims", "_done", "_signature")

    def __init__(
        self,
        where: EvaluationCache | Claims,
        what: Params | Signature | Claim,
        attributes: Mapping[str, Any] | None,
    ) -> None:
        self._claims, self._claim = None, None
        if isinstance(where, Claims) and isinstance(what, Claim):
            self._claims, self._claim = where, what
            self._cache, self._signature, self._attempt = where.cache, what.signature, what.attempt
        elif isinstance(where, EvaluationCache) and not isinstance(what, Claim):
            self._cache, self._attempt = where, 1
            self._signature = signature_of(what, where.space)
        else:
            raise StoreArgumentError(
                f"found {type(where).__name__} and {type(what).__name__}, expected an"
                " EvaluationCache and parameters, or Claims and one of its claims."
            )
        self._attributes = attributes_text(attributes)
        self._done: _rows.Written | None = None

    @property
    def file(self) -> tuple[int, int] | None:
        """Device and inode of the file it goes to."""
        return self._cache._database._file

    def write(self, raw: sqlite3.Connection, values: Sequence[float]) -> None:
        """Store the evaluation and end the claim. Call it inside a transaction."""
        cache = self._cache
        if self._claims is not None and self._claim is not None:
            self._claims.end_within(raw, self._claim)
        row = (self._signature, pack(values), self._attributes, self._attempt)
        self._done = _rows.write(raw, cache.path, cache._namespace, cache._limits, [row])

    def written(self) -> None:
        """The transaction was committed."""
        if self._done is not None:
            self._cache._tally.count(expirations=self._done.expired, evictions=self._done.evicted)
