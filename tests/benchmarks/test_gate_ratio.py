"""Claims: a loss is looked at again, and judged against the baseline's code turn by turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from sample_claims import interleaved

from benchmarks.gate import exact, ratio
from benchmarks.gate.errors import BodyRaisedError
from benchmarks.gate.harness import Side
from benchmarks.gate.outcome import Key, Outcome
from benchmarks.gate.ratio import Interleaved, Kept

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

    def __init__(self, before_s: Sequence[float], compares: bool) -> None:
        self.before_s, self.asked, self.compares = list(before_s), list[str](), compares

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        self.asked.append(values.get("side", "after") if do == "measure" else do)
        if do == "open":  # what is compared is a first call
            assert values.get("warm", 2) == (0 if self.compares else 2)
        if do == "compare":
            self.before_s.pop(0)
            return {"agree": True}
        if do == "measure" and values.get("side") == "before":
            assert values["calls"] == 1
            seconds = self.before_s.pop(0)
            return {"wall_s": seconds, "cpu_s": seconds}
        if do in ("open", "warm"):
            return {"wall_s": 0.01, "cpu_s": 0.01, "fresh_s": 0.0}
        return {"wall_s": 0.01, "cpu_s": 0.01}


@pytest.mark.parametrize(
    ("compare", "before_s", "sampled", "asked"),
    [
        (False, [9.0, 2.0], 2.0, ["before", "before", "after"]),
        (True, [9.0, 2.0], 2.0, ["compare", "warm", "before", "after"]),
        (False, [9.0, *[0.1] * 6], 0.1, ["before", "before", *["before", "after"] * 5]),
        (False, [0.9, *[0.1] * 5], 0.1, ["before", *["before", "after"] * 5]),
        (True, [9.0, *[0.1] * 6], 0.1, ["compare", "warm", "before", *["before", "after"] * 5]),
    ],
)
def test_the_first_call_of_before_in_a_process_is_no_sample(
    compare: bool, before_s: list[float], sampled: float, asked: list[str]
) -> None:
    """It imports, compiles, builds tables; and a long `before` is called once more, not oftener."""
    worker: Any = Scripted(before_s, compare)
    found = ratio.interleave(worker, KEY, compare=compare)
    assert found.before["wall_s"] == pytest.approx(sampled)
    assert worker.asked == ["open", *asked, "close"]
    assert worker.before_s == []
