"""What every store promises of its signatures, trials and metadata."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from contract_opening import NAN, ONE, Opening, sig

from optimizer.errors import EvaluationError, SignatureError, StoreArgumentError, TrialFinishedError
from optimizer.protocols import Trial


class RecordContract(Opening):
    """The contracts of `SignatureGuard`, `TrialStore` and `MetadataStore`."""

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

    def test_numbers_that_no_trial_can_have_are_absent(self, store: Any) -> None:
        store.trials.add_batch(Trial(number, "running") for number in (0, 2**63 - 1))
        asked = [2**70, 2**63, 2**63 - 1, -1, -(2**70), 0, 7]
        assert store.trials.get_batch(iter(asked)).keys() == {0, 2**63 - 1}

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
