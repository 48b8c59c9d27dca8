"""Claims: of many workers who propose the same parameters, one evaluates and all get the value."""

from __future__ import annotations

import itertools
import os
import platform
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from optimizer.errors import ClaimBusyError, ClaimLostError, StoreError, StoreLockedError
from optimizer.protocols import Busy, Claim, Evaluation, Objective, Params, Signature, Trial
from optimizer.stores import _rows
from optimizer.stores._arguments import require_positive, signature_of
from optimizer.stores._encoding import attributes_of, attributes_text, pack, trial_row, unpack
from optimizer.stores._heartbeat import Heartbeat
from optimizer.stores.evaluations import EvaluationCache

__all__ = ["Claims"]

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.02

# The clock is a constant; every value is bound.
_CLAIM = (
    "INSERT INTO claims (namespace, signature, owner, attempt, lease)"  # noqa: S608
    f" SELECT ?, ?, ?, 1, {_rows.NOW_MS} + ? WHERE NOT EXISTS (SELECT 1 FROM evaluations"
    f" WHERE namespace = ? AND signature = ? AND stored > {_rows.NOW_MS} - ?)"
    " ON CONFLICT (namespace, signature) DO UPDATE SET owner = excluded.owner,"
    f" attempt = attempt + 1, lease = excluded.lease WHERE lease <= {_rows.NOW_MS}"
    " RETURNING attempt"
)
_HOLDER = (
    f"SELECT owner, attempt, lease - {_rows.NOW_MS} FROM claims"  # noqa: S608
    " WHERE namespace = ? AND signature = ?"
)
_HELD = "WHERE namespace = ? AND signature = ? AND owner = ? AND attempt = ?"
_END = f"DELETE FROM claims {_HELD}"  # noqa: S608 - as above
_RELEASE = f"UPDATE claims SET owner = '', lease = 0 {_HELD}"  # noqa: S608 - as above
_RENEW = f"UPDATE claims SET lease = {_rows.NOW_MS} + ? {_HELD}"  # noqa: S608 - as above


class Claims:
    """Single flight over an EvaluationCache, for threads and processes alike.

    Of all who `claim` the same parameters at the same time, exactly one gets a `Claim`; the others
    get `Busy`, and may `wait` or take another trial. The holder evaluates, then calls `fulfil`, or
    `release` where the evaluation failed. A claim lasts `lease_s` seconds of the database's clock,
    and longer if it is renewed in time; then the next who asks gets it, as the next attempt, and
    the result of the earlier holder is refused. Nobody is asked whether a holder is alive: a
    process that stands still for longer than its lease has lost its claim too.

    Every call is one transaction; what it acknowledged is stored as the cache stores it. In a child
    of a fork, claims held by the parent stay the parent's.

    Parameters
    ----------
    cache : EvaluationCache
        Where the values go; closed by its owner.
    lease_s : float
        How long a claim lasts unless it is renewed, in seconds. `evaluate_once` renews its own
        three times as often, so this is how long others wait after a worker was killed.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with EvaluationCache(folder.name + "/study.db", bytes(16)) as cache:
    ...     claims = Claims(cache)
    ...     mine = claims.claim({"x": 1})
    ...     type(claims.claim({"x": 1})).__name__, claims.fulfil(mine, 0.5).value
    ...     claims.claim({"x": 1}).value, claims.evaluate_once(lambda params: 9.0, {"x": 1}).value
    ('Busy', 0.5)
    (0.5, 0.5)
    >>> folder.cleanup()
    """

    def __init__(self, cache: EvaluationCache, *, lease_s: float = 60.0) -> None:
        self._cache = cache
        self.lease_s = require_positive("lease_s", lease_s)
        self._tokens = itertools.count(1)
        self._identity = secrets.token_hex(8)
        self._heartbeat = Heartbeat(self.renew)

    def claim(
        self, params: Params | Signature, *, lease_s: float | None = None
    ) -> Claim | Evaluation | Busy:
        """The right to evaluate, to exactly one; or the value; or who is evaluating.

        Counts in the cache as a look-up. Cost: as `cache.get`; on a miss one writing statement
        more, and two queries where another holds the claim.
        """
        signature = signature_of(params, self._cache.space)
        seconds = self.lease_s if lease_s is None else require_positive("lease_s", lease_s)
        found = self._cache.get(signature)
        return found if found is not None else self._take(signature, seconds)

    def fulfil(
        self,
        claim: Claim,
        values: float | Sequence[float],
        attributes: Mapping[str, Any] | None = None,
        *,
        trial: Trial | None = None,
    ) -> Evaluation:
        """Store the value, tell the trial and end the claim, or none of it.

        Returns the evaluation as it is stored; where somebody has `put` one without a claim, that.
        The trial is told as it is given.
        A lease that has ended is no obstacle as long as nobody else took the claim.

        Raises
        ------
        ClaimLostError
            Another holds the claim, has fulfilled it, or it was released: too late.
        EvaluationError
            Values or attributes that cannot be kept exactly; the claim is still held.
        TrialFinishedError
            The trial's number is finished already; the claim is still held.
        """
        cache = self._cache
        packed, text = pack(values), attributes_text(attributes)
        told = None if trial is None else trial_row(cache._study_id, trial)
        row = (claim.signature, packed, text, claim.attempt)

        def end(raw: sqlite3.Connection) -> None:
            if raw.execute(_END, self._held(claim)).rowcount != 1:
                raise self._lost(claim)

        if cache._write([row], told, first=end):
            return Evaluation(unpack(packed), attributes_of(text), claim.attempt)
        stored = cache._peek(claim.signature)
        return stored or Evaluation(unpack(packed), attributes_of(text), claim.attempt)

    @property
    def cache(self) -> EvaluationCache:
        """Where the values go."""
        return self._cache

    def end_within(self, raw: sqlite3.Connection, claim: Claim) -> None:
        """End the claim inside a transaction that stores its value; ClaimLostError if it is lost.

        For who writes more in that transaction than `fulfil` does.
        """
        if raw.execute(_END, self._held(claim)).rowcount != 1:
            raise self._lost(claim)

    def release(self, claim: Claim) -> bool:
        """Give it up without a value; True if it was still held. The next attempt may start."""
        return self._cache._database.change(_RELEASE, self._held(claim)) == 1

    def renew(self, claim: Claim) -> bool:
        """Start its lease anew; False if it has passed on, and its result would be refused."""
        lease_ms = _milliseconds(claim.lease_s)
        return self._cache._database.change(_RENEW, (lease_ms, *self._held(claim))) == 1

    def wait(
        self, params: Params | Signature, timeout_s: float | None = None
    ) -> Evaluation | Busy | None:
        """Wait until there is a value; None if the parameters are free to claim, Busy at the end.

        Not counted as a look-up. Cost: two queries at least every 20 ms.
        """
        signature = signature_of(params, self._cache.space)
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        for pause_s in _pauses():
            state = self._state(signature)
            if not isinstance(state, Busy):
                return state
            if deadline_s is not None:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return state
                pause_s = min(pause_s, left_s)  # noqa: PLW2901 - the last pause is shorter
            time.sleep(pause_s)
        raise AssertionError("the pauses never end")

    def evaluate_once(
        self, objective: Objective, params: Params, *, timeout_s: float | None = None
    ) -> Evaluation:
        """The stored evaluation, else that of `objective(params)`, called by one worker only.

        The claim is renewed in the background until the value is stored; while the file is locked,
        that is tried again, for one lease more. What the objective raises is passed on after the
        claim was released; workers that wait then try themselves. A holder that lost its claim gets
        the value that others stored instead of its own.

        Parameters
        ----------
        objective
            Returns a number, a sequence of numbers, or an `Evaluation` with attributes.
        params
            The parameters; given to the objective as they are.
        timeout_s
            How long to wait for others, in seconds; None for as long as they renew their claims.

        Raises
        ------
        ClaimBusyError
            Another was still evaluating when `timeout_s` was over.
        StoreError
            The value could not be stored; a note on the error says what it was.
        """
        signature = signature_of(params, self._cache.space)
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        found: Claim | Evaluation | Busy | None = self.claim(signature)
        while not isinstance(found, Evaluation):
            if isinstance(found, Claim):
                found = self._evaluate(objective, params, found)
            elif isinstance(found, Busy):
                left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
                found = self.wait(signature, left_s)
                if isinstance(found, Busy):
                    raise self._busy(found, timeout_s)
                self._cache._tally.count(waits=isinstance(found, Evaluation))
            else:
                found = self._take(signature, self.lease_s)
        return found

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (self._cache, self.lease_s))

    def _evaluate(
        self, objective: Objective, params: Params, claim: Claim
    ) -> Evaluation | Busy | None:
        try:
            with self._heartbeat.beating(claim):
                result = objective(params)
                if not isinstance(result, Evaluation):
                    result = Evaluation(unpack(pack(result)))
                try:
                    return self.fulfil(claim, result.values, result.attributes)
                except ClaimLostError:
                    return self._state(claim.signature)
                except StoreError as error:
                    return self._fulfil_late(claim, result, error)
        except BaseException:
            with suppress(StoreError):  # then its lease ends it; the first error says more
                self.release(claim)
            raise

    def _fulfil_late(
        self, claim: Claim, result: Evaluation, error: StoreError
    ) -> Evaluation | Busy | None:
        """Try again while the file is locked, for a lease at most: a value may have cost hours."""
        deadline_s = time.monotonic() + claim.lease_s
        for pause_s in _pauses():
            if not isinstance(error, StoreLockedError) or time.monotonic() >= deadline_s:
                break
            time.sleep(pause_s)
            try:
                return self.fulfil(claim, result.values, result.attributes)
            except ClaimLostError:
                return self._state(claim.signature)
            except StoreError as again:
                error = again
        error.add_note(
            f"The objective returned {result.values!r} with attributes {result.attributes!r}; this"
            " is not stored."
        )
        raise error

    def _take(self, signature: Signature, lease_s: float) -> Claim | Evaluation | Busy:
        cache = self._cache
        owner = f"{platform.node()}:{os.getpid()}:{self._identity}:{next(self._tokens)}"
        key = (cache._namespace, signature)
        values = (*key, owner, _milliseconds(lease_s), *key, cache._limits.age_ms)
        while True:
            rows = cache._database.fetch(_CLAIM, values)
            if rows:
                return Claim(signature, owner, rows[0][0], lease_s)
            state = self._state(signature)
            if state is not None:  # else it was freed just now
                return state

    def _state(self, signature: Signature) -> Evaluation | Busy | None:
        found = self._cache._peek(signature)
        if found is not None:
            return found
        rows = self._cache._database.fetch(_HOLDER, (self._cache._namespace, signature))
        if rows and rows[0][2] > 0:
            owner, attempt, left_ms = rows[0]
            return Busy(owner, attempt, left_ms / 1000)
        # Fulfilled between the two queries?
        return None if rows else self._cache._peek(signature)

    def _held(self, claim: Claim) -> tuple[Any, ...]:
        return (self._cache._namespace, claim.signature, claim.owner, claim.attempt)

    def _lost(self, claim: Claim) -> ClaimLostError:
        return ClaimLostError(
            f"found the claim of {claim.owner} (attempt {claim.attempt}) on"
            f" {claim.signature.hex()} not held any more, expected it to be renewed within"
            f" {claim.lease_s:g} s and used once. Nothing was stored: ask the cache for the value"
            " of who took it, or claim again."
        )

    def _busy(self, busy: Busy, timeout_s: float | None) -> ClaimBusyError:
        return ClaimBusyError(
            f"found {busy.owner} still evaluating (attempt {busy.attempt}) after"
            f" timeout_s={timeout_s}. Wait longer, take other parameters, or end that worker."
        )


def _reopen(cache: EvaluationCache, lease_s: float) -> Claims:
    return Claims(cache, lease_s=lease_s)


def _pauses() -> Iterator[float]:
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(LONGEST_PAUSE_S, 1.5 * pause_s)


def _milliseconds(seconds: float) -> int:
    return max(1, round(1000 * seconds))
