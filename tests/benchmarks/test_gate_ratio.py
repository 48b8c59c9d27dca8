"""Claims: a loss is looked at again, and judged against the baseline's code turn by turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from sample_claims import interleaved

from benchmarks.gate import exact, measuring, ratio
from benchmarks.gate.baselines import Baseline, Environment
from benchmarks.gate.errors import BodyRaisedError
from benchmarks.gate.harness import Side, WorkerProcess
from benchmarks.gate.measuring import Measurement
from benchmarks.gate.outcome import Key, Outcome, Outcomes
from benchmarks.gate.ratio import Interleaved, Kept, Ratio
from benchmarks.gate.rules import CAREFUL

HEAD, BASE = (
    Side(name, "optimizer", Path("/stage"), Path("/suite"), "m:load", Path("/home"), "b")
    for name in ("head", "base")
)
KEY = "stores.AddBatch", "n=100"


OTHER = "stores.SeenEach", "n=100"


class NoWorker:
    """A worker that is never asked; it remembers its side."""

    started = 0

    def __init__(self, side: Side, **options: Any) -> None:
        NoWorker.started += 1
        self.side = side

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def kill(self) -> None: ...


Turns = list[tuple[str, Key, bool]]  # side, case, whether its answers were compared
Take = Callable[..., Turns]


@pytest.fixture(name="take")
def _take(monkeypatch: pytest.MonkeyPatch) -> Take:
    """Let the processes of each side find these ratios of CPU time, whatever the case."""

    def prepare(
        found: dict[str, Sequence[float]],
        failing: Callable[[str, Key, int], bool] = lambda side, key, turn: False,
        before_s: float = 0.5,
    ) -> Turns:
        turns: Turns = []

        def next_process(worker: NoWorker, key: Key, *, compare: bool = False) -> Interleaved:
            name = worker.side.name
            turn = sum(one[:2] == (name, key) for one in turns)
            turns.append((name, key, compare))
            if failing(name, key, turn):
                raise BodyRaisedError("it raised")
            return interleaved(1.0, found[name][turn], before_s)

        monkeypatch.setattr(NoWorker, "started", 0)
        monkeypatch.setattr(exact, "WorkerProcess", NoWorker)
        monkeypatch.setattr(ratio, "interleave", next_process)
        return turns

    return prepare


def kept_of_one() -> Kept:
    return ratio.claims_kept(HEAD, BASE, [KEY], {KEY: Outcome()})[KEY]


def test_both_sides_take_turns_and_this_codes_answers_are_compared_once(take: Take) -> None:
    turns = take({"head": [4.0] * 5, "base": [5.0] * 5})
    kept = kept_of_one()
    first = [("head", KEY, True), ("base", KEY, False)]
    assert turns == [*first, *[("head", KEY, False), ("base", KEY, False)] * 4]
    assert kept.now.cpu == pytest.approx(4.0)
    assert kept.then.cpu == pytest.approx(5.0)
    assert kept.high == pytest.approx(0.8)


def test_noise_that_meets_both_sides_of_a_turn_does_not_count(take: Take) -> None:
    noise = [1.0, 3.0, 0.5, 2.0, 1.0]
    take({"head": [4 * each for each in noise], "base": [5 * each for each in noise]})
    kept = kept_of_one()
    assert kept.now.high > kept.then.low  # their own intervals would say nothing
    assert kept.high == pytest.approx(0.8)


def test_noise_of_one_side_widens_what_may_be_kept(take: Take) -> None:
    noise = [1.0, 3.0, 0.5, 2.0, 1.0]
    take({"head": [4 * each for each in noise], "base": [5.0] * 5})
    mean = math.exp(math.log(0.8) + sum(map(math.log, noise)) / 5)
    assert kept_of_one().high > mean * 2


def test_several_cases_share_their_processes_and_each_is_measured_as_often_as_alone(
    take: Take,
) -> None:
    turns = take({"head": [4.0] * 5, "base": [5.0] * 5})
    kept = ratio.claims_kept(HEAD, BASE, [KEY, OTHER], {KEY: Outcome(), OTHER: Outcome()})
    assert NoWorker.started == 10
    assert kept.keys() == {KEY, OTHER}
    for key in (KEY, OTHER):
        mine = [(side, compare) for side, case, compare in turns if case == key]
        assert mine == [("head", True), ("base", False), *[("head", False), ("base", False)] * 4]


@pytest.mark.parametrize(
    ("head", "promised", "turns"),
    [
        ([4.8, 4.9], 0.0, 2),
        ([4.8, 4.9], 4.8, 2),
        ([4.8, 4.9, 4.8, 4.9, 4.8], 4.85, 5),  # kept, but less than is promised for any machine
        ([4.7, 5.2, 5.2, 5.2, 5.2], 0.0, 5),  # in doubt once
        ([4.0, 4.0, 4.0, 4.0, 4.0], 0.0, 5),
    ],
)
def test_what_keeps_its_speedup_beyond_doubt_takes_two_turns(
    take: Take, head: list[float], promised: float, turns: int
) -> None:
    done = take({"head": head, "base": [5.0] * 5})
    outcomes = {KEY: Outcome()}
    kept = ratio.claims_kept(HEAD, BASE, [KEY], outcomes, promised={KEY: promised})[KEY]
    assert len(done) == 2 * turns
    logs = [math.log(each / 5.0) for each in head]
    assert kept.now.cpu == pytest.approx(5.0 * math.exp(sum(logs) / len(logs)))


def test_a_long_before_takes_fewer_processes(take: Take) -> None:
    turns = take({"head": [4.0] * 5, "base": [5.0] * 5}, before_s=2 * ratio.LONG_S)
    kept_of_one()
    assert len(turns) == 2 * ratio.LONG_PROCESSES


@pytest.mark.parametrize("side", ["head", "base"])
@pytest.mark.parametrize("at", [0, 2])
def test_a_case_that_fails_ends_and_leaves_the_others(take: Take, side: str, at: int) -> None:
    take(
        {"head": [4.0] * 5, "base": [5.0] * 5},
        failing=lambda name, key, turn: (name, key, turn) == (side, KEY, at),
    )
    outcomes = {KEY: Outcome(), OTHER: Outcome()}
    kept = ratio.claims_kept(HEAD, BASE, [KEY, OTHER], outcomes)
    assert kept.keys() == {OTHER}
    assert isinstance(outcomes[KEY].error, BodyRaisedError)
    assert outcomes[OTHER].error is None
    assert kept[OTHER].high == pytest.approx(0.8)


def test_the_ratio_of_one_side_raises_what_its_case_raised(take: Take) -> None:
    take({"head": [4.0] * 5}, failing=lambda name, key, turn: turn == 3)
    with pytest.raises(BodyRaisedError, match="it raised"):
        ratio.claim_ratio(HEAD, KEY)
    take({"head": [4.0] * 5})
    assert ratio.claim_ratio(HEAD, KEY).cpu == pytest.approx(4.0)


# --- one process


class Scripted:
    """A worker that notes what it is asked; `before` takes these wall seconds, call by call."""

    def __init__(self, before_s: Sequence[float]) -> None:
        self.before_s, self.asked = list(before_s), list[str]()

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        self.asked.append(values.get("side", "after") if do == "measure" else do)
        if do == "compare":
            self.before_s.pop(0)
            return {"agree": True}
        if do == "measure" and values.get("side") == "before":
            assert values["calls"] == 1
            seconds = self.before_s.pop(0)
            return {"wall_s": seconds, "cpu_s": seconds}
        if do == "open":
            return {"wall_s": 0.01, "cpu_s": 0.01, "fresh_s": 0.0}
        return {"wall_s": 0.01, "cpu_s": 0.01}


@pytest.mark.parametrize(
    ("compare", "before_s", "sampled", "asked"),
    [
        (False, [9.0, 2.0], 2.0, ["before", "before", "after"]),
        (True, [9.0, 2.0], 2.0, ["compare", "before", "after"]),
        (False, [9.0, *[0.1] * 6], 0.1, ["before", "before", *["before", "after"] * 5]),
        (False, [0.9, *[0.1] * 5], 0.1, ["before", *["before", "after"] * 5]),
        (True, [9.0, *[0.1] * 6], 0.1, ["compare", "before", *["before", "after"] * 5]),
    ],
)
def test_the_first_call_of_before_in_a_process_is_no_sample(
    compare: bool, before_s: list[float], sampled: float, asked: list[str]
) -> None:
    """It imports, compiles, builds tables; and a long `before` is called once more, not oftener."""
    worker: Any = Scripted(before_s)
    found = ratio.interleave(worker, KEY, compare=compare)
    assert found.before["wall_s"] == pytest.approx(sampled)
    assert worker.asked == ["open", *asked, "close"]
    assert worker.before_s == []


# --- when a claim is measured again


class Looking(Measurement):
    """A measurement of one claim whose looks are given."""

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
        self.judged, self.fresh = [{"name": KEY[0], "cases": [case], "witnesses": ["claim"]}], []
        self.environment = Environment("cpython 3.11.7", {}, {}, "processor")
        elsewhere = replace(self.environment, processor="processor" if known else "another")
        ratios = {KEY[1]: {"cpu": 30.0, "low": 29.0}} if stored else {}
        self.baselines = {
            KEY[0]: Baseline(KEY[0], "tree", "commit", "w", elsewhere, {}, ratios, "", "")
        }
        self.reached, self.every = lambda path: reached, every
        self.rule, self.notes, self.said = CAREFUL, [], list[str]()
        self.progress = self.said.append

    def claim_floor(self, path: object, case: object) -> float | None:
        return 10.0

    def _claim(self, worker: WorkerProcess, key: Key) -> None:
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
    monkeypatch.setattr(measuring, "claim_ratios", claim_ratios)
    monkeypatch.setattr(measuring, "claims_kept", claims_kept)
    return calls


@pytest.mark.parametrize("looks", [[10.5], [9.0, 11.5], [8.0, 11.0, 12.0]])
def test_a_claim_that_holds_in_the_mean_of_its_looks_is_left_alone(
    again: list[str], looks: list[float]
) -> None:
    measurement = Looking(looks)
    measurement._claims()
    assert measurement.outcomes[KEY].claim_looks == looks
    assert again == []
    assert measurement.outcomes[KEY].claim_spread is None


def test_a_claim_that_no_change_can_reach_is_not_measured_and_the_notes_say_so(
    again: list[str],
) -> None:
    measurement = Looking([], known=True)
    measurement._claims()
    assert (measurement.outcomes[KEY].claim_looks, again) == ([], [])
    (note,) = measurement.notes
    assert note.startswith("claims of 1 hot paths not measured: nothing that they import")


@pytest.mark.parametrize("how", [{"reached": True}, {"every": True}, {"known": False}])
def test_a_claim_is_measured_if_a_change_can_reach_it_or_its_ratio_is_from_elsewhere(
    again: list[str], how: dict[str, bool]
) -> None:
    measurement = Looking([11.0], **({"known": True} | how))
    measurement._claims()
    assert measurement.outcomes[KEY].claim_looks == [11.0]
    assert measurement.notes == []


@pytest.mark.parametrize(("stored", "how"), [(True, "by turns"), (False, "alone")])
def test_a_claim_lost_in_every_look_is_measured_again(
    again: list[str], stored: bool, how: str
) -> None:
    measurement = Looking([9.0, 9.5, 9.0], stored=stored)
    measurement._claims()
    outcome = measurement.outcomes[KEY]
    assert again == [how]
    assert outcome.claim_spread == (9.0, 8.5, 9.5)
    assert (outcome.claim_base, outcome.claim_kept) == ((12.0, 0.8) if stored else (None, None))
    assert any("again, both sides by turns" in line for line in measurement.said)


def test_a_case_that_fails_in_the_second_look_has_no_second_ratio(
    again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagree(
        head: Side, base: Side, keys: Sequence[Key], outcomes: Outcomes, *rest: Any
    ) -> dict[Key, Kept]:
        outcomes[KEY].fail(BodyRaisedError("before and after disagree"))
        return {}

    monkeypatch.setattr(measuring, "claims_kept", disagree)
    measurement = Looking([9.0] * 3)
    measurement._claims()
    assert isinstance(measurement.outcomes[KEY].error, BodyRaisedError)
    assert measurement.outcomes[KEY].claim_spread is None
