"""A value that was evaluated is stored, though the file is locked then; or the error tells it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from contract_opening import ONE

from optimizer.errors import ClaimLostError, StoreFullError, StoreLockedError
from optimizer.protocols import Claim, Evaluation
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache


@pytest.fixture
def cache(path: Path) -> Iterator[EvaluationCache]:
    with EvaluationCache(path, ONE, timeout_s=0.01) as cache:
        yield cache


def test_a_value_is_stored_when_the_lock_ends(
    path: Path, cache: EvaluationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, refused = Claims(cache, lease_s=60), threading.Event()
    plain = claims.fulfil

    def fulfil(*arguments: Any) -> Evaluation:
        try:
            return plain(*arguments)
        except StoreLockedError:
            refused.set()
            raise

    monkeypatch.setattr(claims, "fulfil", fulfil)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as raw:

        def unlock() -> None:
            assert refused.wait(20)
            raw.execute("ROLLBACK")

        unlocking = threading.Thread(target=unlock)

        def objective(params: Any) -> float:
            raw.execute("BEGIN IMMEDIATE")
            unlocking.start()
            return 2.5

        assert claims.evaluate_once(objective, {"x": 1}) == Evaluation((2.5,))
        unlocking.join()
    found = cache.get({"x": 1})
    assert found is not None
    assert found.value == 2.5


def test_a_value_that_cannot_be_stored_is_told(path: Path, cache: EvaluationCache) -> None:
    claims = Claims(cache, lease_s=0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:

        def objective(params: Any) -> Evaluation:
            raw.execute("BEGIN IMMEDIATE")
            return Evaluation((2.5,), {"trades": 7})

        with pytest.raises(StoreLockedError) as caught:
            claims.evaluate_once(objective, {"x": 1})
        assert "returned (2.5,) with attributes {'trades': 7}" in caught.value.__notes__[0]
        raw.execute("ROLLBACK")
    assert claims.evaluate_once(lambda params: 3.0, {"x": 1}).value == 3.0


def test_a_full_disk_is_not_tried_again(
    cache: EvaluationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, calls = Claims(cache, lease_s=60), []

    def full(*arguments: Any) -> Evaluation:
        calls.append(arguments)
        raise StoreFullError("no room left")

    monkeypatch.setattr(claims, "fulfil", full)
    with pytest.raises(StoreFullError, match="no room left") as caught:
        claims.evaluate_once(lambda params: 2.5, {"x": 1})
    assert "returned (2.5,)" in caught.value.__notes__[0]
    assert len(calls) == 1
    assert isinstance(claims.claim({"x": 1}), Claim)  # it was released


def test_who_lost_the_claim_meanwhile_gets_the_value_of_who_took_it(
    cache: EvaluationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, raised = Claims(cache), [StoreLockedError("locked"), ClaimLostError("taken")]

    def fulfil(claim: Claim, *arguments: Any) -> Evaluation:
        cache.put(claim.signature, 7.0)
        raise raised.pop(0)

    monkeypatch.setattr(claims, "fulfil", fulfil)
    assert claims.evaluate_once(lambda params: 2.5, {"x": 1}).value == 7.0
    assert raised == []


def test_the_lease_is_renewed_until_the_value_is_stored(
    cache: EvaluationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = Claims(cache)
    plain, renewed = claims.fulfil, []

    def fulfil(claim: Claim, *arguments: Any) -> Evaluation:
        renewed.append(claim in claims._heartbeat._due_s)
        return plain(claim, *arguments)

    monkeypatch.setattr(claims, "fulfil", fulfil)
    claims.evaluate_once(lambda params: 2.5, {"x": 1})
    assert renewed == [True]
    assert claims._heartbeat._due_s == {}


def test_a_heartbeat_that_cannot_start_leaves_nothing_behind(
    cache: EvaluationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    claims = Claims(cache)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        claims.evaluate_once(lambda params: 2.5, {"x": 1})
    assert claims._heartbeat._due_s == {}
    monkeypatch.undo()
    assert claims.evaluate_once(lambda params: 2.5, {"x": 1}) == Evaluation((2.5,), {}, 2)
