"""What every store promises, as tests: a subclass says how to open one, and inherits them all.

class TestSqlite(StoreContract):
    def open(self, place, study="default", **settings): ...
    def older(self, place, seconds): ...
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from contract_claims import ClaimContract
from contract_evaluations import EvaluationContract
from contract_opening import ONE, TWO, sig
from contract_records import RecordContract

from optimizer.errors import StoreClosedError
from optimizer.protocols import (
    Claim,
    ClaimStore,
    Evaluation,
    EvaluationStore,
    MetadataStore,
    SignatureGuard,
    Trial,
    TrialStore,
)


class StoreContract(RecordContract, EvaluationContract, ClaimContract):
    """The contract of `optimizer.protocols.Store`."""

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
