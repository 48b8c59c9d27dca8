"""What every store promises of its claims."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from contract_opening import INF, NAN, ONE, Opening, sig

from optimizer.errors import ClaimBusyError, ClaimLostError, EvaluationError, StoreArgumentError
from optimizer.protocols import Busy, Claim, Evaluation, Trial


class ClaimContract(Opening):
    """The contract of `optimizer.protocols.ClaimStore`."""

    def test_exactly_one_gets_the_claim(self, store: Any, other: Any) -> None:
        mine, theirs = store.claims(ONE), other.claims(ONE)
        claim = mine.claim({"x": 1})
        assert isinstance(claim, Claim)
        assert claim.attempt == 1
        for claims in (mine, theirs):
            busy = claims.claim({"x": 1.0})
            assert isinstance(busy, Busy)
            assert (busy.owner, busy.attempt) == (claim.owner, 1)
            assert 0 < busy.remaining_s <= 60
        assert mine.fulfil(claim, 0.5, {"a": 1}) == Evaluation((0.5,), {"a": 1})
        for claims in (mine, theirs):
            assert claims.claim({"x": 1}) == Evaluation((0.5,), {"a": 1})
            with pytest.raises(ClaimLostError, match=claim.owner):
                claims.fulfil(claim, 0.7)
            assert not claims.release(claim)
            assert not claims.renew(claim)

    def test_a_claim_that_was_released_passes_on(self, store: Any, other: Any) -> None:
        mine, theirs = store.claims(ONE), other.claims(ONE)
        first = mine.claim(sig(1))
        assert isinstance(theirs.wait(sig(1), 0), Busy)
        assert mine.release(first)
        assert not mine.release(first)
        assert theirs.wait(sig(1)) is None
        second = theirs.claim(sig(1))
        assert (second.attempt, second.owner == first.owner) == (2, False)
        with pytest.raises(ClaimLostError):
            mine.fulfil(first, 1.0)
        assert theirs.fulfil(second, 2.0) == Evaluation((2.0,), {}, 2)

    def test_a_claim_passes_on_when_its_lease_ends(
        self, place: Path, store: Any, other: Any
    ) -> None:
        mine, theirs = store.claims(ONE, lease_s=100), other.claims(ONE, lease_s=100)
        first = mine.claim(sig(1))
        self.older(place, 60)
        assert mine.renew(first)
        self.older(place, 60)
        assert isinstance(theirs.claim(sig(1)), Busy)
        self.older(place, 60)
        second = theirs.claim(sig(1))
        assert second.attempt == 2
        assert isinstance(mine.claim(sig(1)), Busy)
        assert not mine.renew(first)
        assert not mine.release(first)
        with pytest.raises(ClaimLostError, match="attempt 1"):
            mine.fulfil(first, 1.0, trial=Trial(0, "complete"))
        assert len(store.trials) == 0
        assert theirs.fulfil(second, 2.0).value == 2.0
        assert mine.claim(sig(1)).value == 2.0

    def test_a_lease_that_ended_is_no_harm_while_nobody_took_over(
        self, place: Path, store: Any
    ) -> None:
        claims = store.claims(ONE, lease_s=1)
        claim = claims.claim(sig(1))
        self.older(place, 5)
        assert claims.fulfil(claim, 1.0).value == 1.0

    def test_a_value_that_is_too_old_may_be_claimed(self, place: Path, store: Any) -> None:
        claims = store.claims(ONE, ttl_s=100)
        claims.fulfil(claims.claim(sig(1)), 1.0)
        self.older(place, 200)
        claim = claims.claim(sig(1))
        assert isinstance(claim, Claim)
        assert claims.fulfil(claim, 2.0).value == 2.0
        assert claims.claim(sig(1)).value == 2.0

    def test_an_old_token_is_refused_for_ever(self, store: Any) -> None:
        claims, cache = store.claims(ONE), store.evaluations(ONE)
        first = claims.claim(sig(1))
        claims.fulfil(first, 1.0)
        cache.forget(sig(1))
        second = claims.claim(sig(1))
        assert second.attempt == first.attempt
        with pytest.raises(ClaimLostError):
            claims.fulfil(first, 9.0)
        assert claims.fulfil(second, 2.0).value == 2.0

    def test_a_value_put_without_a_claim_wins(self, store: Any, other: Any) -> None:
        claims = store.claims(ONE)
        claim = claims.claim(sig(1))
        other.evaluations(ONE).put(sig(1), 7.0)
        assert claims.claim(sig(1)).value == 7.0
        assert claims.fulfil(claim, 1.0).value == 7.0

    def test_waiting(self, store: Any, other: Any) -> None:
        mine, theirs = store.claims(ONE), other.claims(ONE)
        assert theirs.wait(sig(1), 0) is None
        claim = mine.claim(sig(1))
        assert theirs.wait(sig(1), 0.01).owner == claim.owner
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(theirs.wait, sig(1), 20) for _ in range(2)]
            time.sleep(0.05)  # both wait by then; the answer is the same if not
            mine.fulfil(claim, 3.0)
            assert [each.result().value for each in waiting] == [3.0, 3.0]

    def test_leases_refused(self, store: Any) -> None:
        for lease_s in (0, -1, NAN, INF, "1", True):
            with pytest.raises(StoreArgumentError, match="lease_s"):
                store.claims(ONE, lease_s=lease_s)
            with pytest.raises(StoreArgumentError, match="lease_s"):
                store.claims(ONE).claim(sig(1), lease_s=lease_s)

    # --- evaluate_once

    def test_threads_evaluate_once(self, store: Any, other: Any) -> None:
        started: list[int] = []

        def objective(params: Any) -> float:
            started.append(params["x"])
            time.sleep(0.02)  # long enough for the other threads to ask meanwhile
            return float(params["x"])

        sides = [store.claims(ONE), other.claims(ONE)]
        with ThreadPoolExecutor(8) as threads:
            asked = [
                threads.submit(sides[i % 2].evaluate_once, objective, {"x": i // 8})
                for i in range(64)
            ]
            assert [each.result().value for each in asked] == [i // 8 for i in range(64)]
        assert sorted(started) == list(range(8))

    def test_a_failed_evaluation_frees_its_claim(self, store: Any) -> None:
        claims, calls = store.claims(ONE), []

        def objective(params: Any) -> Any:
            calls.append(params)
            if len(calls) == 1:
                raise KeyError("no")
            return None if len(calls) == 2 else 1.0

        with pytest.raises(KeyError, match="no"):
            claims.evaluate_once(objective, {"x": 1}, timeout_s=5)
        with pytest.raises(EvaluationError):
            claims.evaluate_once(objective, {"x": 1}, timeout_s=5)
        assert claims.evaluate_once(objective, {"x": 1}, timeout_s=5) == Evaluation((1.0,), {}, 3)
        assert claims.evaluate_once(objective, {"x": 1}, timeout_s=5) == Evaluation((1.0,), {}, 3)
        assert len(calls) == 3

    def test_an_objective_that_fails_with_an_error_of_claims_frees_its_own(
        self, store: Any
    ) -> None:
        claims = store.claims(ONE)

        def objective(params: Any) -> float:
            raise ClaimLostError("another claim, not this one")

        with pytest.raises(ClaimLostError, match="another claim"):
            claims.evaluate_once(objective, {"x": 1}, timeout_s=5)
        assert isinstance(claims.claim({"x": 1}), Claim)

    def test_a_waiter_takes_over_from_one_that_failed(self, store: Any, other: Any) -> None:
        inside, go = threading.Event(), threading.Event()

        def failing(params: Any) -> float:
            inside.set()
            go.wait(20)
            raise RuntimeError("failed")

        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(store.claims(ONE).evaluate_once, failing, {"x": 1})
            inside.wait(20)
            second = threads.submit(
                other.claims(ONE).evaluate_once, lambda params: 2.0, {"x": 1}, timeout_s=20
            )
            go.set()
            assert second.result().value == 2.0
            with pytest.raises(RuntimeError, match="failed"):
                first.result()

    def test_a_lease_is_renewed_while_the_objective_runs(self, store: Any, other: Any) -> None:
        inside = threading.Event()

        def slow(params: Any) -> float:
            inside.set()
            time.sleep(1.0)  # more than two leases: without renewal it is lost
            return 1.0

        mine, theirs = store.claims(ONE, lease_s=0.4), other.claims(ONE, lease_s=0.4)
        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(mine.evaluate_once, slow, {"x": 1})
            inside.wait(20)
            assert theirs.evaluate_once(lambda params: 2.0, {"x": 1}).value == 1.0
            assert first.result() == Evaluation((1.0,), {}, 1)

    def test_who_lost_the_claim_gets_the_value_of_who_took_it(
        self, place: Path, store: Any, other: Any
    ) -> None:
        def late(params: Any) -> float:
            self.older(place, 1_000)
            claim = other.claims(ONE).claim(params)
            other.claims(ONE).fulfil(claim, 2.0)
            return 1.0

        assert store.claims(ONE).evaluate_once(late, {"x": 1}) == Evaluation((2.0,), {}, 2)

    def test_waiting_for_others_ends(self, store: Any, other: Any) -> None:
        claim = other.claims(ONE).claim({"x": 1})
        with pytest.raises(ClaimBusyError, match=claim.owner):
            store.claims(ONE).evaluate_once(lambda params: 1.0, {"x": 1}, timeout_s=0.05)

    def test_an_evaluation_with_attributes(self, store: Any) -> None:
        found = store.claims(ONE).evaluate_once(
            lambda params: Evaluation((1.0, 2.0), {"a": 1}), {"x": 1}
        )
        assert found == store.evaluations(ONE).get({"x": 1}) == Evaluation((1.0, 2.0), {"a": 1})
