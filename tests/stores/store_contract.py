"""What every store promises, as tests: a subclass says how to open one, and inherits them all.

class TestSqlite(StoreContract):
    def open(self, place, study="default", **settings): ...
    def older(self, place, seconds): ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optimizer.errors import (
    ClaimBusyError,
    ClaimLostError,
    EvaluationError,
    SignatureError,
    StoreArgumentError,
    StoreClosedError,
    TrialFinishedError,
)
from optimizer.protocols import (
    Busy,
    Claim,
    ClaimStore,
    Evaluation,
    EvaluationStore,
    MetadataStore,
    SignatureGuard,
    Trial,
    TrialStore,
)

ONE, TWO = bytes(16), bytes(15) + b"\1"
NAN, INF = float("nan"), float("inf")


def sig(number: int) -> bytes:
    return number.to_bytes(16, "big")


class StoreContract:
    """The contract of `optimizer.protocols.Store`."""

    def open(self, place: Path, study: str = "default", **settings: Any) -> Any:
        """A store; every call with the same place opens the same one."""
        raise NotImplementedError

    def older(self, place: Path, seconds: float) -> None:
        """Make everything that is stored, and every lease, that much older."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "study.db"

    @pytest.fixture
    def store(self, place: Path) -> Iterator[Any]:
        store = self.open(place)
        yield store
        store.check()
        store.close()

    @pytest.fixture
    def other(self, place: Path, store: Any) -> Iterator[Any]:
        """The same study, opened once more, as another process would."""
        other = self.open(place)
        yield other
        other.close()

    # --- the whole

    def test_parts_keep_the_promise_of_their_protocols(self, store: Any) -> None:
        assert isinstance(store.signatures, SignatureGuard)
        assert isinstance(store.evaluations(ONE), EvaluationStore)
        assert isinstance(store.claims(ONE), ClaimStore)
        assert isinstance(store.trials, TrialStore)
        assert isinstance(store.metadata, MetadataStore)

    def test_studies_and_fingerprints_are_apart(self, place: Path, store: Any) -> None:
        name = "a'; DROP TABLE evaluations; -- \N{SNOWMAN}"
        with self.open(place, study=name) as apart:
            caches = [s.evaluations(mark) for s in (store, apart) for mark in (ONE, TWO)]
            for number, cache in enumerate(caches):
                assert cache.put({"x": 1}, number)
            assert [cache.get({"x": 1}).value for cache in caches] == [0, 1, 2, 3]
            assert caches[0].clear() == 1
            assert list(map(len, caches)) == [0, 1, 1, 1]
            claims = [s.claims(mark).claim({"x": 2}) for s in (store, apart) for mark in (ONE, TWO)]
            assert [type(claim) for claim in claims] == [Claim] * 4
            store.metadata.update({"a": 1})
            store.trials.add(Trial(0, "running"))
            store.signatures.add(sig(1))
            assert (apart.metadata.all(), len(apart.trials), len(apart.signatures)) == ({}, 0, 0)

    def test_what_is_stored_is_there_when_opened_again(self, place: Path) -> None:
        trial = Trial(3, "complete", {"x": 1}, (0.5,), {"note": [1]}, sig(7), 1.5, 2.5)
        with self.open(place) as store:
            store.signatures.add(sig(7))
            store.evaluations(ONE).put(sig(7), (0.5, 1.5), {"note": "a"}, trial=trial)
            store.metadata.update({"seed": 7, "nested": {"a": [None, True, 1.5]}})
            claim = store.claims(ONE).claim(sig(8))
        with self.open(place) as store:
            assert store.signatures.seen(sig(7))
            assert store.evaluations(ONE).get(sig(7)) == Evaluation((0.5, 1.5), {"note": "a"})
            assert store.metadata.all() == {"seed": 7, "nested": {"a": [None, True, 1.5]}}
            assert store.trials.load() == {3: trial}
            assert store.claims(ONE).fulfil(claim, 1.0).value == 1.0

    def test_a_closed_store_says_so(self, store: Any, place: Path) -> None:
        closed = self.open(place)
        parts = (closed.evaluations(ONE), closed.claims(ONE))
        closed.close()
        closed.close()
        for call in (
            lambda: parts[0].get(sig(1)),
            lambda: parts[0].put(sig(1), 1.0),
            lambda: parts[1].claim(sig(1)),
            closed.trials.load,
            closed.metadata.all,
            lambda: closed.signatures.seen(sig(1)),
        ):
            with pytest.raises(StoreClosedError):
                call()

    # --- signatures

    def test_signatures(self, store: Any, other: Any) -> None:
        mine, theirs = store.signatures, other.signatures
        assert mine.add(sig(1))
        assert not theirs.add(sig(1))
        assert theirs.add_batch(iter([sig(1), sig(2), sig(2)])) == 1
        assert mine.seen_batch(iter([sig(2), sig(3), sig(2)])) == [True, False, True]
        assert (mine.seen_batch([]), mine.add_batch([])) == ([], 0)
        assert theirs.remove(sig(2))
        assert not mine.remove(sig(2))
        assert [mine.seen(sig(i)) for i in (1, 2)] == [True, False]
        assert len(mine) == len(theirs) == 1

    def test_signatures_refused(self, store: Any) -> None:
        guard = store.signatures
        unfit: list[Any] = [b"short", bytes(17), bytearray(16), "x" * 16, None, 3]
        for wrong in unfit:
            for call in (guard.add, guard.seen, guard.remove):
                with pytest.raises(SignatureError):
                    call(wrong)
            for batch in (guard.add_batch, guard.seen_batch):
                with pytest.raises(SignatureError, match="at index 1"):
                    batch([sig(9), wrong])
        assert len(guard) == 0

    @pytest.mark.parametrize("number", [499, 500, 501, 1_237])
    def test_batches_of_signatures(self, store: Any, other: Any, number: int) -> None:
        assert store.signatures.add_batch(sig(2 * i) for i in range(number)) == number
        asked = [sig(i) for i in range(2 * number)][::-1]
        assert other.signatures.seen_batch(asked) == [i % 2 == 0 for i in range(2 * number)][::-1]

    def test_exactly_one_adds_a_signature(self, store: Any, other: Any) -> None:
        sides = [store.signatures, other.signatures]
        with ThreadPoolExecutor(8) as threads:
            new = list(threads.map(lambda i: sides[i % 2].add(sig(i // 8)), range(160)))
        assert [sum(new[i : i + 8]) for i in range(0, 160, 8)] == [1] * 20

    # --- evaluations

    def test_values_come_back_bit_for_bit(self, store: Any, other: Any) -> None:
        cases = [
            (1, (1.0,)),
            (True, (1.0,)),
            (-0.0, (-0.0,)),
            (INF, (INF,)),
            (NAN, (NAN,)),
            (5e-324, (5e-324,)),
            (2**53, (2.0**53,)),
            ((1.0, NAN, -INF), (1.0, NAN, -INF)),
            ([0.1, 0.2], (0.1, 0.2)),
        ]
        for number, (values, expected) in enumerate(cases):
            store.evaluations(ONE).put(sig(number), values)
            for reader in (store, other):
                found = reader.evaluations(ONE).get(sig(number))
                assert repr(found.values) == repr(expected)

    def test_numpy_values(self, store: Any) -> None:
        np = pytest.importorskip("numpy")
        cache = store.evaluations(ONE)
        cache.put({"x": np.float64(0.5)}, np.float32(0.25), {"n": np.int64(3)})
        cache.put({"x": 1}, np.array([1.0, 2.0]))
        assert cache.get({"x": 0.5}) == Evaluation((0.25,), {"n": 3})
        assert cache.get({"x": 1.0}).values == (1.0, 2.0)
        assert type(cache.get({"x": 1}).values[0]) is float

    def test_values_refused(self, store: Any) -> None:
        cache, claims = store.evaluations(ONE), store.claims(ONE)
        claim = claims.claim(sig(1))
        for values in (None, "1", b"1", [], (), {}, {"a": 1}, [None], ["1"], 1j, [[1]], 10**400):
            with pytest.raises(EvaluationError, match="expected"):
                cache.put(sig(1), values)
            with pytest.raises(EvaluationError, match="expected"):
                claims.fulfil(claim, values)
        assert len(cache) == 0
        assert claims.renew(claim)

    def test_attributes_refused(self, store: Any) -> None:
        deep: Any = []
        for _ in range(200):
            deep = [deep]
        unfit = [{1: 2}, {"a": {1}}, {"a": b""}, {"a": object()}, {"a": 10**5000}, {"a": deep}, [1]]
        for attributes in unfit:
            with pytest.raises(EvaluationError):
                store.evaluations(ONE).put(sig(1), 1.0, attributes)
            with pytest.raises(EvaluationError):
                store.trials.add(Trial(0, "complete", attributes=attributes))  # type: ignore[arg-type]  # wrong on purpose
        assert (len(store.evaluations(ONE)), len(store.trials)) == (0, 0)

    def test_attributes_come_back_and_are_ones_own(self, store: Any, other: Any) -> None:
        attributes = {"a": [1, 2.5, None, True, "\ud800 \0 \N{SNOWMAN}"], "b": {"c": 2**70}}
        store.evaluations(ONE).put(sig(1), 1.0, attributes)
        for cache in (store.evaluations(ONE), other.evaluations(ONE)):
            for _ in range(2):
                found = cache.get(sig(1)).attributes
                assert found == attributes
                found["a"].append("mine")
                found["more"] = 1
        nan = store.evaluations(ONE)
        nan.put(sig(2), 1.0, {"x": NAN, "y": -INF})
        assert repr(nan.get(sig(2)).attributes) == "{'x': nan, 'y': -inf}"

    def test_neither_parameters_nor_signature(self, store: Any) -> None:
        cache, claims = store.evaluations(ONE), store.claims(ONE)
        neither: list[Any] = [b"short", bytearray(16), "x" * 16, None, 3, {}, [("x", 1)]]
        for params in neither:
            for call in (cache.get, cache.forget, claims.claim, claims.wait):
                with pytest.raises(SignatureError):
                    call(params)
            with pytest.raises(SignatureError):
                cache.put(params, 1.0)

    def test_the_first_value_stays(self, store: Any, other: Any) -> None:
        cache, theirs = store.evaluations(ONE), other.evaluations(ONE)
        assert cache.put({"x": 1}, 1.0)
        assert not theirs.put({"x": 1.0}, 2.0)
        assert theirs.get({"x": 1}).value == cache.get({"x": 1}).value == 1.0
        assert cache.forget({"x": 1})
        assert not theirs.forget({"x": 1})
        assert theirs.get({"x": 1}) is None
        assert theirs.put({"x": 1}, 3.0)
        assert cache.get({"x": 1}).value == 3.0

    @pytest.mark.parametrize("number", [0, 1, 499, 500, 501, 1_237])
    def test_batches(self, store: Any, other: Any, number: int) -> None:
        cache, theirs = store.evaluations(ONE), other.evaluations(ONE)
        assert cache.put_batch((sig(3 * i), float(i)) for i in range(number)) == number
        for _ in range(2):
            asked = [sig(i) for i in range(2 * number)][::-1]
            found = theirs.get_batch(iter(asked + asked[:1]))
            expected = [None if i % 3 else i / 3 for i in range(2 * number)][::-1]
            assert [e and e.values for e in found] == [
                None if e is None else (e,) for e in expected + expected[:1]
            ]
        assert cache.put_batch((sig(0), 1.0) for _ in range(3)) == (number == 0)

    def test_an_answer_never_contradicts_a_commit(self, store: Any, other: Any) -> None:
        mine, theirs = store.evaluations(ONE), other.evaluations(ONE)
        for value in range(5):
            theirs.put(sig(1), value)
            theirs.put(sig(100 + value), value)
            assert mine.get(sig(1)).value == value
            assert mine.get_batch([sig(1), sig(2)])[0].value == value
            theirs.forget(sig(1)) if value % 2 else theirs.clear()
            assert mine.get(sig(1)) is None
            assert mine.get_batch([sig(1), sig(2)]) == [None, None]

    def test_two_caches_of_one_store(self, store: Any) -> None:
        mine, theirs = store.evaluations(ONE), store.evaluations(ONE)
        for value in range(5):
            theirs.put(sig(1), value)
            assert mine.get(sig(1)).value == mine.get(sig(1)).value == value
            theirs.forget(sig(1))
            assert mine.get(sig(1)) is None

    def test_memory_answers_and_says_so(self, store: Any, other: Any) -> None:
        cache = store.evaluations(ONE)
        cache.put_batch((sig(i), i) for i in range(3))
        for _ in range(2):
            cache.get_batch([sig(i) for i in range(4)])
        other.signatures.add(sig(1))  # a commit that concerns no evaluation
        cache.get(sig(1))
        counters = cache.counters()
        assert (counters.hits, counters.misses, counters.front_hits) == (7, 2, 4)
        assert counters.hit_rate == 7 / 9

    def test_age(self, place: Path, store: Any, other: Any) -> None:
        cache, forever = store.evaluations(ONE, ttl_s=100), other.evaluations(ONE)
        cache.put(sig(1), 1.0)
        self.older(place, 60)
        cache.put(sig(2), 2.0)
        assert [e is None for e in cache.get_batch([sig(1), sig(2)])] == [False, False]
        self.older(place, 60)
        assert [e is None for e in cache.get_batch([sig(1), sig(2)])] == [True, False]
        assert (len(cache), len(forever)) == (1, 2)
        assert forever.get(sig(1)).value == 1.0
        assert cache.put(sig(1), 3.0)  # the old one does not stand in its way
        assert cache.get(sig(1)).value == forever.get(sig(1)).value == 3.0
        assert cache.counters().expirations == 1

    def test_age_ends_answers_from_memory(self, store: Any) -> None:
        cache = store.evaluations(ONE, ttl_s=0.3)
        cache.put(sig(1), 1.0)
        assert cache.get(sig(1)) is not None
        assert cache.get(sig(1)) is not None
        time.sleep(0.35)  # past its age; the database's clock cannot be set
        assert cache.get(sig(1)) is None

    def test_the_one_used_longest_ago_makes_room(self, store: Any) -> None:
        cache = store.evaluations(ONE, maxsize=3)
        for number in range(3):
            cache.put(sig(number), number)
        cache.get(sig(0))
        cache.get(sig(1))  # from here on, from memory
        cache.get_batch([sig(1), sig(0)])
        assert sig(2) in cache  # no use
        cache.put(sig(3), 3)
        cache.put(sig(4), 4)
        assert [sig(i) in cache for i in range(5)] == [True, False, False, True, True]
        cache.get(sig(0))
        cache.put_batch([(sig(5), 5), (sig(6), 6)])
        assert [sig(i) in cache for i in range(7)] == [True, *[False] * 4, True, True]
        assert cache.counters().evictions == 4
        assert len(cache) == 3

    def test_uses_outlive_the_store(self, place: Path) -> None:
        with self.open(place) as store:
            cache = store.evaluations(ONE, maxsize=2)
            cache.put_batch([(sig(1), 1.0), (sig(2), 2.0)])
            cache.get(sig(1))
        with self.open(place) as store:
            cache = store.evaluations(ONE, maxsize=2)
            cache.put(sig(3), 3.0)
            assert [sig(i) in cache for i in (1, 2, 3)] == [True, False, True]

    def test_what_another_evicted_is_gone_from_memory_too(self, store: Any, other: Any) -> None:
        mine, theirs = store.evaluations(ONE), other.evaluations(ONE, maxsize=1)
        mine.put(sig(1), 1.0)
        assert mine.get(sig(1)) == mine.get(sig(1)) == Evaluation((1.0,))
        theirs.put(sig(2), 2.0)
        assert mine.get_batch([sig(1), sig(2)]) == [None, Evaluation((2.0,))]

    def test_what_is_too_old_makes_room_first(self, place: Path, store: Any) -> None:
        cache = store.evaluations(ONE, maxsize=2, ttl_s=100)
        cache.put(sig(1), 1.0)
        self.older(place, 90)
        cache.put(sig(2), 2.0)
        cache.get(sig(1))
        self.older(place, 20)
        cache.put(sig(3), 3.0)
        assert [sig(i) in cache for i in range(1, 4)] == [False, True, True]
        counters = cache.counters()
        assert (counters.evictions, counters.expirations) == (0, 1)

    def test_bounds_and_fingerprints_refused(self, store: Any) -> None:
        for name, value in (("maxsize", 0), ("maxsize", 1.5), ("ttl_s", 0), ("ttl_s", NAN)):
            with pytest.raises(StoreArgumentError, match=name):
                store.evaluations(ONE, **{name: value})
        for fingerprint in (b"", bytes(15), "x" * 16, None):
            with pytest.raises(EvaluationError, match="fingerprint"):
                store.evaluations(fingerprint)

    # --- claims

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

    # --- trials

    def test_trials(self, store: Any, other: Any) -> None:
        waiting = Trial(2, "waiting", {"x": 1, "y": "a", "z": None, "b": True, "f": 0.1})
        done = Trial(2, "complete", waiting.params, (NAN, 1.0), {"a": [1]}, sig(1), 0.5, 1.25)
        assert store.trials.add(waiting)
        assert other.trials.load() == {2: waiting}
        assert other.trials.add_batch([replace(done, number=n) for n in (5, 2)]) == 2
        loaded = store.trials.load()
        assert list(loaded) == [2, 5]
        assert repr(loaded[2]) == repr(done)
        assert store.trials.get_batch([5, 7]).keys() == {5}
        assert not store.trials.add(Trial(2, "failed"))
        assert len(store.trials) == 2

    def test_trials_refused(self, store: Any) -> None:
        changes: list[dict[str, Any]] = [
            *({"number": number} for number in (-1, 1.0, True, 2**63)),
            {"state": "done"},
            {"signature": b"x"},
            *({"started_s": NAN}, {"finished_s": "now"}),
            *({"params": params} for params in ({1: 2}, {"x": {1}}, [1], None)),
            *({"values": values} for values in (("x",), 0.0, 1.0, None)),
        ]
        for change in changes:
            wrong = replace(Trial(0, "complete"), **change)
            with pytest.raises(EvaluationError):
                store.trials.add(wrong)
            with pytest.raises(EvaluationError):
                store.trials.add_batch([Trial(1, "complete"), wrong])
            with pytest.raises(EvaluationError):
                store.evaluations(ONE).put(sig(1), 1.0, trial=wrong)
        assert (len(store.trials), len(store.evaluations(ONE))) == (0, 0)

    def test_a_value_and_its_trial_are_told_together_or_not(self, store: Any) -> None:
        claims, cache = store.claims(ONE), store.evaluations(ONE)
        done = Trial(0, "complete", {"x": 1}, (1.0,))
        claims.fulfil(claims.claim({"x": 1}), 1.0, trial=done)
        assert store.trials.load() == {0: done}
        claim = claims.claim({"x": 2})
        with pytest.raises(TrialFinishedError, match="trial 0"):
            claims.fulfil(claim, 2.0, trial=done)
        with pytest.raises(TrialFinishedError, match="trial 0"):
            cache.put({"x": 2}, 2.0, trial=done)
        assert cache.get({"x": 2}) is None
        assert claims.renew(claim)
        claims.fulfil(claim, 2.0, trial=replace(done, number=1))
        assert len(store.trials) == len(cache) == 2

    # --- metadata

    def test_metadata(self, store: Any, other: Any) -> None:
        store.metadata.update({"b": 1, "a": {"x": [1.5, None]}, "\N{SNOWMAN}'": "text"})
        other.metadata.update({"b": 2})
        assert store.metadata.all() == {"a": {"x": [1.5, None]}, "b": 2, "\N{SNOWMAN}'": "text"}
        assert (store.metadata.get("b"), store.metadata.get("no", 7)) == (2, 7)
        assert other.metadata.remove("b")
        assert not store.metadata.remove("b")
        with pytest.raises(EvaluationError, match="'d'"):
            store.metadata.update({"c": 1, "d": {1}})
        with pytest.raises(StoreArgumentError, match="name"):
            store.metadata.update({"": 1})
        assert store.metadata.get("c") is None
