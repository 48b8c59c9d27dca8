"""Claims of one run: which are looked at, and when they are looked at again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_claims import interleaved

from benchmarks.gate import claims, exact, judge
from benchmarks.gate.baselines import Baseline, Environment
from benchmarks.gate.claims import Claims
from benchmarks.gate.errors import BodyRaisedError
from benchmarks.gate.harness import Side, WorkerProcess
from benchmarks.gate.outcome import Key, Outcome, Outcomes
from benchmarks.gate.ratio import DisagreedError, Interleaved, Kept, Ratio
from benchmarks.gate.rules import CAREFUL, Paired, Verdict

HEAD, BASE = (
    Side(name, "optimizer", Path("/stage"), Path("/suite"), "m:load", Path("/home"), "b")
    for name in ("head", "base")
)
KEY = "stores.AddBatch", "n=100"


COUNTS = {KEY[1]: {"bytecodes": 1_000, "opens": 0}}


class Looking(Claims):
    """One claim whose looks are given."""

    def __init__(
        self,
        looks: Sequence[float],
        *,
        stored: bool = True,
        known: bool = False,
        reached: bool = False,
        every: bool = False,
    ) -> None:
        self.looks = iter(looks)
        self.outcomes = {KEY: Outcome()}
        self.head, self.base = HEAD, lambda baseline: BASE
        case = {"label": KEY[1], "compared": True, "cpu_floor": 10.0}
        self.judged = [{"name": KEY[0], "cases": [case], "witnesses": ["claim"]}]
        self.environment = Environment("cpython 3.11.7", {}, {}, "processor")
        elsewhere = replace(self.environment, processor="processor" if known else "another")
        ratios = {KEY[1]: {"cpu": 30.0, "low": 29.0}} if stored else {}
        self.baselines = {
            KEY[0]: Baseline(KEY[0], "tree", "commit", "w", elsewhere, COUNTS, ratios, "", "")
        }
        self.reached, self.every = lambda path: reached, every
        self.rule, self.notes, self.said = CAREFUL, [], list[str]()
        self.progress = self.said.append

    def floor(self, path: object, case: object) -> float | None:
        return 10.0

    def _look(self, worker: WorkerProcess, key: Key) -> None:
        self.outcomes[key].claim_looks.append(next(self.looks))


@pytest.fixture(name="again")
def _again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which way a claim was measured again."""
    calls: list[str] = []
    found = Ratio(9.0, 8.5, 9.5, 9.0, 1.0, 0.1)

    def each(side: Side, keys: Sequence[Key], act: Any, *rest: Any, **options: Any) -> None:
        for key in keys:
            act(None, key)

    def claim_ratios(
        side: Side, keys: Sequence[Key], outcomes: Outcomes, begun: Any
    ) -> dict[Key, Ratio]:
        calls.append("alone")
        return dict.fromkeys(keys, found)

    def claims_kept(
        head: Side, base: Side, keys: Sequence[Key], outcomes: Outcomes, *rest: Any
    ) -> dict[Key, Kept]:
        calls.append("by turns")
        return dict.fromkeys(keys, Kept(found, Ratio(12.0, 11.0, 13.0, 12.0, 1.0, 0.1), 0.8))

    monkeypatch.setattr(exact, "each_case", each)
    monkeypatch.setattr(claims, "claim_ratios", claim_ratios)
    monkeypatch.setattr(claims, "claims_kept", claims_kept)
    return calls


@pytest.mark.parametrize("looks", [[10.5], [9.0, 11.5], [8.0, 11.0, 12.0]])
def test_a_claim_that_holds_in_the_mean_of_its_looks_is_left_alone(
    again: list[str], looks: list[float]
) -> None:
    measured = Looking(looks)
    measured.measure()
    assert measured.outcomes[KEY].claim_looks == looks
    assert again == []
    assert measured.outcomes[KEY].claim_spread is None


def test_a_claim_that_no_change_can_reach_is_not_measured_and_the_notes_say_so(
    again: list[str],
) -> None:
    measured = Looking([], known=True)
    measured.measure()
    assert (measured.outcomes[KEY].claim_looks, again) == ([], [])
    (note,) = measured.notes
    assert note.startswith("claims of 1 hot paths not measured: nothing that they import")


@pytest.mark.parametrize("how", [{"reached": True}, {"every": True}, {"known": False}])
def test_a_claim_is_measured_if_a_change_can_reach_it_or_its_ratio_is_from_elsewhere(
    again: list[str], how: dict[str, bool]
) -> None:
    measured = Looking([11.0], **({"known": True} | how))
    measured.measure()
    assert measured.outcomes[KEY].claim_looks == [11.0]
    assert measured.notes == []


@pytest.mark.parametrize(("stored", "how"), [(True, "by turns"), (False, "alone")])
def test_a_claim_lost_in_every_look_is_measured_again(
    again: list[str], stored: bool, how: str
) -> None:
    measured = Looking([9.0, 9.5, 9.0], stored=stored)
    measured.measure()
    outcome = measured.outcomes[KEY]
    assert again == [how]
    assert outcome.claim_spread == (9.0, 8.5, 9.5)
    assert (outcome.claim_base, outcome.claim_kept) == ((12.0, 0.8) if stored else (None, None))
    assert any("again, both sides by turns" in line for line in measured.said)


def test_a_case_that_fails_in_the_second_look_has_no_second_ratio(
    again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagree(
        head: Side, base: Side, keys: Sequence[Key], outcomes: Outcomes, *rest: Any
    ) -> dict[Key, Kept]:
        outcomes[KEY].fail(BodyRaisedError("before and after disagree"))
        return {}

    monkeypatch.setattr(claims, "claims_kept", disagree)
    measured = Looking([9.0] * 3)
    measured.measure()
    assert isinstance(measured.outcomes[KEY].error, BodyRaisedError)
    assert measured.outcomes[KEY].claim_spread is None


EQUAL = Paired((0.01, -0.01, 0.0))  # pairs of the two codes' `after`
SLOWER = Paired((0.09, 0.1, 0.11))
UNSURE = Paired((0.3, -0.3, 0.0))


@pytest.mark.parametrize(
    ("pairs", "promised", "again_by"),
    [
        (EQUAL, 5.0, []),
        (EQUAL, None, []),
        (EQUAL, 10.0, ["by turns"]),  # what is promised anywhere is not reached
        (SLOWER, 5.0, ["by turns"]),
        (UNSURE, 5.0, ["by turns"]),
        (Paired((0.0,)), 5.0, ["by turns"]),
    ],
)
def test_pairs_that_are_equal_have_kept_the_claim_though_less_is_reached_today(
    again: list[str], pairs: Paired, promised: float | None, again_by: list[str]
) -> None:
    measured = Looking([9.0, 9.0, 9.0])
    measured.judged[0]["cases"][0]["cpu_floor"] = promised
    measured.outcomes[KEY].first = pairs
    measured.measure()
    assert again == again_by
    outcome = measured.outcomes[KEY]
    assert outcome.claim_looks == ([9.0] * 3 if again_by else [9.0])
    (found,) = judge.judge_claim(*KEY, outcome, 10.0, promised)
    told = [note for note in measured.notes if "pairs are sure that nothing is lost" in note]
    if again_by:
        assert found.verdict is Verdict.WORSE
        assert told == []
    else:  # what is stored was asked of it no more
        assert (found.verdict, found.before) == (Verdict.SAME, promised)
        assert found.now == pytest.approx(9.0)
        assert told[0].endswith(": stores.AddBatch[n=100]")


@pytest.mark.parametrize(
    "counts", [{"opens": 1}, {"connections": 1}, {"opens": 0, "fsyncs": 2}, None]
)
def test_pairs_whose_files_lie_in_memory_say_nothing_of_a_claim_on_the_disk(
    again: list[str], counts: dict[str, int] | None
) -> None:
    measured = Looking([9.0, 9.0, 9.0])
    measured.judged[0]["cases"][0]["cpu_floor"] = 5.0
    stored = {} if counts is None else {KEY[1]: counts}
    measured.baselines = {KEY[0]: replace(measured.baselines[KEY[0]], counters=stored)}
    measured.outcomes[KEY].first = EQUAL
    measured.measure()
    assert again == ["by turns"]


def test_a_look_that_is_enough_after_all_is_not_told_of(again: list[str]) -> None:
    measured = Looking([9.0, 11.5])  # no pairs, so there is a second one
    measured.measure()
    assert measured.outcomes[KEY].claim_by_pairs is False
    assert not [note for note in measured.notes if "pairs are sure" in note]


def test_what_the_pairs_found_slower_has_not_kept_its_claim(again: list[str]) -> None:
    slower = Paired(tuple(0.06 + 0.0001 * i for i in range(24)))  # and yet 94% are kept
    measured = Looking([9.0, 9.0, 9.0])
    measured.judged[0]["cases"][0]["cpu_floor"] = 5.0
    measured.outcomes[KEY].first = measured.outcomes[KEY].second = slower
    measured.measure()
    assert again == ["by turns"]


class Worker:
    """Closes cases."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, what: str) -> dict[str, Any]:
        self.asked.append(what)
        return {}


@pytest.mark.parametrize("equal", [True, False])
def test_the_first_look_at_a_claim_compares_the_answers(
    monkeypatch: pytest.MonkeyPatch, equal: bool
) -> None:
    comparing: list[bool] = []

    def interleave(worker: object, key: Key, *, compare: bool, rounds: int) -> Interleaved:
        comparing.append(compare)
        if not equal:
            raise DisagreedError
        return interleaved(4.0, 4.0)

    monkeypatch.setattr(claims, "interleave", interleave)
    measured, worker = Looking([]), Worker()
    for _ in range(2 if equal else 1):
        Claims._look(measured, worker, KEY)  # type: ignore[arg-type]  # it asks for no more
    outcome = measured.outcomes[KEY]
    assert outcome.agree is equal
    assert comparing == ([True, False] if equal else [True])
    assert len(outcome.claim_looks) == (2 if equal else 0)
    assert worker.asked == ([] if equal else ["close"])
