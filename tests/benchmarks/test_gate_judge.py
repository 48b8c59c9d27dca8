"""Findings, their sentences, and the exit code."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.gate import judge
from benchmarks.gate.baselines import Baseline, Environment
from benchmarks.gate.errors import (
    BaselineError,
    BodyRaisedError,
    GateError,
    NotMeasuredError,
    UsageError,
)
from benchmarks.gate.instruments import Kind
from benchmarks.gate.judge import Finding, exit_code, judge_cpu
from benchmarks.gate.outcome import Outcome
from benchmarks.gate.rules import CpuRule, Paired, Verdict

PATH, CASE = "stores.AddBatch", "n=100"
NAME = f"{PATH}[{CASE}]"
RULE = CpuRule(6, 0.012, 0.020, 24, 0.018, 0.006)
BASELINE = Baseline(
    path=PATH,
    tree="a" * 40,
    commit="c0ffee1234" + "b" * 30,
    workload="w",
    environment=Environment("cpython 3.11", {}, {"counters": "1 settrace"}),
    counters={},
    ratios={},
    reason="first",
    date="2024-05-17",
)


def paired(change: float, pairs: int) -> Paired:
    spread = itertools.cycle((-0.001, 0.001))
    return Paired(tuple(math.log1p(change) + next(spread) for _ in range(pairs)))


# --- exit code


@pytest.mark.parametrize(
    "codes", [c for n in range(6) for c in itertools.combinations(range(5), n)]
)
def test_the_first_of_2_3_4_1_decides(codes: tuple[int, ...]) -> None:
    expected = next((code for code in (2, 3, 4, 1) if code in codes), 0)
    found = [Finding(PATH, CASE, "cpu", Verdict.SAME, code=code) for code in codes]
    assert exit_code(found) == expected
    assert exit_code(found[::-1]) == expected


@pytest.mark.parametrize(
    ("error", "code", "verdict", "witness"),
    [
        (BodyRaisedError("why"), 2, Verdict.FAILED, "run"),
        (UsageError("why"), 2, Verdict.FAILED, "run"),
        (NotMeasuredError("why"), 3, Verdict.NOT_MEASURED, "run"),
        (BaselineError("why"), 4, Verdict.FAILED, "baseline"),
    ],
)
@pytest.mark.parametrize("case", [CASE, ""])
def test_a_failure_names_path_witness_and_cause(
    error: GateError, code: int, verdict: Verdict, witness: str, case: str
) -> None:
    found = judge.failure(PATH, case, error)
    assert (found.code, found.verdict, found.witness) == (code, verdict, witness)
    assert found.sentence == f"{NAME if case else PATH}, {witness}: why"


def test_an_orphaned_baseline_is_not_measured() -> None:
    found = judge.orphan(PATH)
    assert (found.code, found.verdict) == (3, Verdict.NOT_MEASURED)
    assert PATH in found.sentence
    assert "delete its baseline" in found.sentence


# --- agreement


def test_sides_that_disagree_fail() -> None:
    (found,) = judge.judge_agreement(PATH, CASE, Outcome(agree=False))
    assert (found.code, found.verdict) == (2, Verdict.FAILED)
    assert found.sentence.startswith(f"{NAME}, agreement: ")


def test_sides_that_agree_or_were_not_compared() -> None:
    (found,) = judge.judge_agreement(PATH, CASE, Outcome(agree=True))
    assert (found.code, found.verdict, found.sentence) == (0, Verdict.SAME, "")
    assert judge.judge_agreement(PATH, CASE, Outcome()) == []


# --- wall time and claims


@pytest.mark.parametrize(
    ("wall", "code"),
    [
        ((1.0, 1.1), 0),
        ((9.0, 9.0), 0),  # seen in the first stage only, not confirmed
        ((9.0, 9.0, 9.0, 9.0, 1.9), 0),  # one look in which it was not slower
        ((2.1, 9.0, 9.0, 9.0, 9.0), 1),
    ],
)
def test_wall_time_fails_where_every_look_says_so(wall: tuple[float, ...], code: int) -> None:
    (found,) = judge.judge_wall(PATH, CASE, Outcome(wall=wall))
    assert found.code == code
    assert bool(found.sentence) == bool(code)
    assert judge.judge_wall(PATH, CASE, Outcome()) == []


@pytest.mark.parametrize(("cpu", "waits"), [(0.0, True), (0.9, True), (8.0, False)])
def test_wall_time_says_that_it_waits_where_cpu_time_does_not_say_why(
    cpu: float, waits: bool
) -> None:
    (found,) = judge.judge_wall(PATH, CASE, Outcome(wall=(9.0,) * 5, first=paired(cpu, 6)))
    assert ("it waits for something" in found.sentence) is waits


@pytest.mark.parametrize(
    ("claim", "again", "code"),
    [
        (11.0, None, 0),
        (9.0, None, 0),  # not measured again: nothing is confirmed
        (9.0, (9.0, 8.0, 10.1), 0),  # its interval reaches the floor
        (9.0, (9.0, 8.5, 9.5), 1),
    ],
)
def test_a_lost_claim_must_be_lost_in_fresh_processes_too(
    claim: float, again: tuple[float, float, float] | None, code: int
) -> None:
    lost = Outcome(claim_looks=[claim], claim_spread=again)
    (found,) = judge.judge_claim(PATH, CASE, lost, 10.0)
    assert found.code == code
    assert judge.judge_claim(PATH, CASE, lost, None) == []


@pytest.mark.parametrize(
    ("kept", "promised", "code", "expected"),
    [
        (0.80, None, 1, 18.0),  # nine tenths of what the baseline's code reaches here and now
        (0.95, None, 0, 18.0),
        (0.80, 5.0, 1, 18.0),
        (0.95, 5.0, 0, 18.0),
        (0.95, 9.8, 1, 9.8),  # what is promised must hold anywhere
    ],
)
def test_a_claim_is_lost_only_to_the_baselines_code_here_and_now(
    kept: float, promised: float | None, code: int, expected: float
) -> None:
    again = (9.4, 9.2, 9.6)
    lost = Outcome(claim_looks=[9.0], claim_spread=again, claim_base=20.0, claim_kept=kept)
    (found,) = judge.judge_claim(PATH, CASE, lost, 10.0, promised)
    assert (found.code, found.before, found.now) == (code, expected, 9.4)


def test_several_looks_at_a_claim_are_one_ratio() -> None:
    assert Outcome().claim is None
    assert Outcome(claim_looks=[4.0, 9.0]).claim == pytest.approx(6.0)


def test_the_stored_ratio_counts_on_the_same_processor_and_packages_only() -> None:
    here = BASELINE.environment
    stored = replace(BASELINE, ratios={CASE: {"cpu": 20.0, "low": 19.0}})
    promised: dict[str, Any] = {"label": CASE, "cpu_floor": 5.0}
    assert judge.claim_floor(promised, stored, here) == pytest.approx(17.1)
    assert judge.claim_floor(promised | {"cpu_floor": 19.0}, stored, here) == 19.0
    assert judge.claim_floor(promised, stored, replace(here, processor="another")) == 5.0
    assert judge.claim_floor(promised, stored, replace(here, packages={"numpy": "9"})) == 5.0
    assert judge.claim_floor(promised | {"cpu_floor": None}, BASELINE, here) is None


def test_a_claim_is_known_where_its_ratio_is_stored_here_and_keeps_what_is_promised() -> None:
    here = BASELINE.environment
    stored = replace(BASELINE, ratios={CASE: {"cpu": 20.0, "low": 19.0}})
    promised: dict[str, Any] = {"label": CASE, "cpu_floor": 5.0}
    assert judge.claim_known(promised, stored, here)
    assert judge.claim_known(promised | {"cpu_floor": None}, stored, here)
    assert not judge.claim_known(promised | {"cpu_floor": 19.5}, stored, here)
    assert not judge.claim_known(promised, BASELINE, here)
    assert not judge.claim_known(promised, stored, replace(here, processor="another"))
    assert not judge.claim_known(promised, stored, replace(here, packages={"numpy": "9"}))


# --- CPU time


def test_cpu_time_is_a_regression_only_after_the_second_stage() -> None:
    slow = Outcome(first=paired(0.10, 6), second=paired(0.10, 24), cpu_s=0.25)
    (found,) = judge_cpu(PATH, CASE, slow, RULE, BASELINE)
    assert (found.code, found.verdict, found.witness) == (1, Verdict.WORSE, "cpu")
    assert found.sentence.startswith(f"{NAME}, CPU time: rose by 10.0% ")
    assert "24 process pairs; limit 1.8%" in found.sentence
    assert "baseline of 2024-05-17 (c0ffee1234)" in found.sentence
    assert found.now == 0.25

    (found,) = judge_cpu(PATH, CASE, replace(slow, second=None), RULE, BASELINE)
    assert (found.code, found.verdict) == (0, Verdict.SAME)
    (found,) = judge_cpu(PATH, CASE, replace(slow, second=paired(0.0, 24)), RULE, BASELINE)
    assert (found.code, found.verdict) == (0, Verdict.SAME)
    assert found.change == pytest.approx(0.0, abs=1e-12)  # rounding of logarithms


def test_a_third_stage_has_the_last_word_unless_there_is_no_doubt() -> None:
    doubtful = Outcome(first=paired(0.03, 6), second=paired(0.03, 24))
    assert doubtful.doubtful(RULE)
    (found,) = judge_cpu(PATH, CASE, replace(doubtful, third=paired(0.0, 24)), RULE, BASELINE)
    assert (found.code, found.verdict) == (0, Verdict.SAME)
    (found,) = judge_cpu(PATH, CASE, replace(doubtful, third=paired(0.02, 24)), RULE, BASELINE)
    assert (found.code, found.verdict) == (1, Verdict.WORSE)
    assert "48 process pairs; limit 1.8%" in found.sentence  # of both stages
    assert not Outcome(first=paired(0.3, 6), second=paired(0.3, 24)).doubtful(RULE)
    assert not Outcome(first=paired(0.3, 6), second=paired(0.0, 24)).doubtful(RULE)
    assert not Outcome(first=paired(0.3, 6)).doubtful(RULE)


def test_cpu_time_that_fell_is_better_where_new_pairs_say_so_too() -> None:
    fell = Outcome(first=paired(-0.2, 6))
    (found,) = judge_cpu(PATH, CASE, fell, RULE, BASELINE)
    assert (found.code, found.verdict, found.sentence) == (0, Verdict.SAME, "")
    (found,) = judge_cpu(PATH, CASE, replace(fell, gain=paired(-0.1, 8)), RULE, BASELINE)
    assert (found.code, found.verdict, found.sentence) == (0, Verdict.BETTER, "")
    assert found.change == pytest.approx(-0.1)  # of the new pairs: the first were chosen by luck
    (found,) = judge_cpu(PATH, CASE, replace(fell, gain=paired(0.0, 8)), RULE, BASELINE)
    assert (found.code, found.verdict, found.sentence) == (0, Verdict.SAME, "")


def test_cpu_time_that_was_not_measured_gives_no_finding() -> None:
    assert judge_cpu(PATH, CASE, Outcome(), RULE, BASELINE) == []


# --- fails closed

WITNESSES = ("statements", "fsyncs", "cpu", "wall")
COUNTED = {"statements": 1, "fsyncs": 0}
WHOLE = Outcome(
    counters=COUNTED, base_counters=COUNTED, first=paired(0, 6), wall=(1.0,), agree=True
)


def case(**fields: bool) -> dict[str, Any]:
    return {"label": CASE, "timed": True, "counted": True, "compared": True} | fields


def test_a_case_that_was_measured_lacks_nothing() -> None:
    assert judge.missing(PATH, case(), WITNESSES, WHOLE, ()) == []


@pytest.mark.parametrize(
    ("outcome", "lacking"),
    [
        (replace(WHOLE, first=None), {"cpu"}),
        (replace(WHOLE, wall=()), {"wall"}),
        (replace(WHOLE, agree=None), {"agreement"}),
        (replace(WHOLE, counters={}), {"statements", "counters"}),
        (replace(WHOLE, base_counters={}), {"statements", "counters"}),
        (replace(WHOLE, counters={"opens": 1}, base_counters={"opens": 1}), {"statements"}),
        (Outcome(), {"cpu", "wall", "agreement", "statements", "counters"}),  # fsyncs are exempt
    ],
)
def test_what_was_declared_and_not_measured_is_a_finding(
    outcome: Outcome, lacking: set[str]
) -> None:
    found = judge.missing(PATH, case(), WITNESSES, outcome, {"fsyncs"})
    assert {one.witness for one in found} == lacking
    for one in found:
        assert (one.code, one.verdict) == (3, Verdict.NOT_MEASURED)
        assert one.sentence == f"{NAME}, {one.witness}: declared, but not measured"


def test_what_cannot_be_had_here_is_exempt_and_nothing_else() -> None:
    witnesses = ("statements", "instructions", "memory")
    found = judge.missing(PATH, case(), witnesses, WHOLE, {"instructions"})
    assert [one.witness for one in found] == ["peak_bytes"]
    unreached = replace(WHOLE, unreached=frozenset({Kind.INSTRUCTIONS}))
    assert judge.missing(PATH, case(), witnesses, unreached, {"memory"}) == []


def test_a_set_of_witnesses_that_is_blind_to_its_kind_is_told() -> None:
    path = {"witnesses": ("bytecodes",)}
    counts = {CASE: {"statements": 1, "opens": 0}, "n=2": {"statements": 0, "listings": 2}}
    assert judge.blind(path, counts) == [
        "commits",
        "cpu",
        "fsyncs",
        "listings",
        "statements",
        "steps",
    ]
    assert judge.blind({"witnesses": ("cpu",)}, {CASE: {"statements": 0}}) == []


def test_what_a_case_does_not_declare_is_not_missing() -> None:
    nothing = case(timed=False, counted=False, compared=False)
    assert judge.missing(PATH, nothing, WITNESSES, Outcome(), ()) == []
