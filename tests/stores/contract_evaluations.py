"""What every store promises of its evaluations."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from contract_opening import INF, NAN, ONE, TWO, Opening, sig

from optimizer.errors import ClaimLostError, EvaluationError, SignatureError, StoreArgumentError
from optimizer.protocols import Evaluation, Trial


class EvaluationContract(Opening):
    """The contract of `optimizer.protocols.EvaluationStore`."""

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

    def test_evaluations_of_other_fingerprints_are_forgotten(
        self, place: Path, store: Any, other: Any
    ) -> None:
        marks = [bytes([day]) * 16 for day in range(5)]
        caches = [store.evaluations(mark) for mark in marks]
        for cache in caches:
            cache.put_batch((sig(i), float(i)) for i in range(3))
            cache.get_batch(map(sig, range(3)))
        theirs = other.evaluations(marks[0])  # open all the while
        theirs.get_batch(map(sig, range(3)))
        store.trials.add(Trial(0, "running"))
        store.signatures.add(sig(1))
        store.metadata.update({"a": 1})
        with self.open(place, study="another") as apart:
            apart.evaluations(marks[0]).put(sig(1), 7.0)
            assert store.forget_others(marks[4], marks[2], marks[4], bytes(15) + b"x") == 9
            assert store.forget_others(marks[4], marks[2]) == 0
            assert list(map(len, caches)) == [0, 0, 3, 0, 3]
            assert apart.evaluations(marks[0]).get(sig(1)).value == 7.0
        for cache in (caches[0], theirs):
            assert cache.get_batch(map(sig, range(3))) == [None] * 3
        assert [e.value for e in caches[2].get_batch(map(sig, range(3)))] == [0.0, 1.0, 2.0]
        assert (len(store.trials), len(store.signatures)) == (1, 1)
        assert store.metadata.all() == {"a": 1}

    def test_who_still_works_under_a_forgotten_fingerprint_goes_on(
        self, place: Path, store: Any, other: Any
    ) -> None:
        old, claims = other.evaluations(ONE), other.claims(ONE)
        held, ended = claims.claim(sig(1)), claims.claim(sig(2), lease_s=1)
        old.put(sig(3), 3.0)
        self.older(place, 5)
        assert store.forget_others(TWO) == 1
        new = store.evaluations(TWO)
        new.put(sig(3), 30.0)
        assert old.put(sig(3), 4.0)
        assert (old.get(sig(3)).value, new.get(sig(3)).value) == (4.0, 30.0)
        assert claims.fulfil(held, 1.0).value == 1.0
        with pytest.raises(ClaimLostError):
            claims.fulfil(ended, 2.0)
        assert new.get_batch([sig(1), sig(2)]) == [None, None]
        assert claims.claim(sig(2)).attempt == 1

    def test_forgetting_needs_a_fingerprint_to_keep(self, store: Any) -> None:
        store.evaluations(ONE).put(sig(1), 1.0)
        for wrong in (b"", bytes(15), [ONE], None):
            with pytest.raises(EvaluationError, match="fingerprint"):
                store.forget_others(wrong)
            with pytest.raises(EvaluationError, match="fingerprint"):
                store.forget_others(ONE, wrong)
        assert len(store.evaluations(ONE)) == 1

    def test_bounds_and_fingerprints_refused(self, store: Any) -> None:
        for name, value in (("maxsize", 0), ("maxsize", 1.5), ("ttl_s", 0), ("ttl_s", NAN)):
            with pytest.raises(StoreArgumentError, match=name):
                store.evaluations(ONE, **{name: value})
        for fingerprint in (b"", bytes(15), "x" * 16, None):
            with pytest.raises(EvaluationError, match="fingerprint"):
                store.evaluations(fingerprint)
