"""Measurements in, findings out: one finding for each witness of each case."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .baselines import Baseline, Environment
from .errors import BaselineError, GateError, NotMeasuredError
from .outcome import Outcome
from .rules import (
    AGREEMENT,
    LOST_CLAIM,
    SLOWER_WALL,
    WALL_AGAIN,
    CpuRule,
    Paired,
    Verdict,
    allowed_growth,
    counter_decreased,
    counter_increased,
    telling,
)

REGRESSION = 1
UNCOUNTED = frozenset({"cpu", "wall", "claim"})  # witnesses that are no counters
COUNTER_OF = {"memory": "peak_bytes"}  # witness -> the counter that shows it was measured
EXIT_ORDER = (2, 3, 4, 1)  # where several hold, the first of these is the exit code


@dataclass(frozen=True)
class Finding:
    """What one witness says of one case (or of a whole path, where `case` is empty)."""

    path: str
    case: str
    witness: str
    verdict: Verdict
    sentence: str = ""  # said below the table; names path and witness
    code: int = 0
    before: float | None = None  # baseline's value (counters)
    now: float | None = None  # this code's value: a count, or CPU seconds a call
    change: float | None = None  # relative
    plus_minus: float | None = None  # three standard errors, where the change is a mean

    @property
    def name(self) -> str:
        return f"{self.path}[{self.case}]" if self.case else self.path


def exit_code(findings: Sequence[Finding]) -> int:
    """The gate's exit code: 0 if nothing failed, else the first of `EXIT_ORDER` that occurred."""
    codes = {finding.code for finding in findings}
    return next((code for code in EXIT_ORDER if code in codes), 0)


def failure(path: str, case: str, error: GateError) -> Finding:
    """A path or case that could not be judged."""
    witness = "baseline" if isinstance(error, BaselineError) else "run"
    unmeasured = isinstance(error, NotMeasuredError)
    verdict = Verdict.NOT_MEASURED if unmeasured else Verdict.FAILED
    name = f"{path}[{case}]" if case else path
    return Finding(path, case, witness, verdict, f"{name}, {witness}: {error}", error.code)


def orphan(path: str) -> Finding:
    """A baseline whose hot path is declared no more."""
    return Finding(
        path,
        "",
        "declaration",
        Verdict.NOT_MEASURED,
        f"{path}, declaration: it has a baseline, but no suite declares it: restore the hot "
        f"path, delete its baseline in the commit that removes it, or, where it has a new name, "
        f"`velocity-gate rename {path} NEW`",
        NotMeasuredError.code,
    )


def lost_cases(path: dict[str, Any], baseline: Baseline) -> list[Finding]:
    """Cases that the baseline has counters of, and that nobody counts any more."""
    counted = {case["label"] for case in path["cases"] if case["counted"]}
    error = BaselineError(
        "its baseline has counters of this case, which is not declared or not counted any more: "
        "restore it, or move the baseline with rebaseline --accept-regression"
    )
    gone = sorted(set(baseline.counters) - counted)
    return [failure(path["name"], label, error) for label in gone]


def judge_agreement(path: str, case: str, outcome: Outcome) -> list[Finding]:
    """Whether before and after gave the same answer."""
    if outcome.agree is None:
        return []
    if outcome.agree:
        return [Finding(path, case, AGREEMENT, Verdict.SAME)]
    sentence = (
        f"{path}[{case}], agreement: before and after gave different answers, so nothing that "
        f"was timed counts"
    )
    return [Finding(path, case, AGREEMENT, Verdict.FAILED, sentence, 2)]


def judge_counters(path: str, case: str, outcome: Outcome) -> list[Finding]:
    """One finding for each counter; a change must show again with both sides counted here."""
    findings = []
    before, now, again = outcome.base_counters, outcome.counters, outcome.again
    for name in sorted(before.keys() & now.keys(), key=lambda name: (telling(name), name)):
        old, new = before[name], now[name]
        worse, better = counter_increased(name, old, new), counter_decreased(name, old, new)
        if (worse or better) and again is not None and again.counted(name):
            old, new = min(again.before[name]), min(again.now[name])
            worse, better = again.increased(name), again.decreased(name)
        verdict, sentence, code = Verdict.SAME, "", 0
        if worse:
            sentence = (
                f"{path}[{case}], {name}: rose from {old:,} to {new:,} "
                f"({allowed_growth(name)} allowed)"
            )
            verdict, code = Verdict.WORSE, REGRESSION
        elif better:
            verdict = Verdict.BETTER
        change = (new - old) / old if old else None
        findings.append(
            Finding(path, case, name, verdict, sentence, code, float(old), float(new), change)
        )
    return findings


def judge_wall(path: str, case: str, outcome: Outcome) -> list[Finding]:
    """The last net: wall time, where it more than doubled in every look at it."""
    if not outcome.wall:
        return []
    ratio = statistics.median(outcome.wall)
    cpu = outcome.decisive
    waits = cpu is None or 1.0 + cpu.mean < ratio / SLOWER_WALL
    worse = min(outcome.wall) > SLOWER_WALL and len(outcome.wall) >= WALL_AGAIN
    sentence = (
        f"{path}[{case}], wall time: {ratio:.1f} times the baseline's (median of "
        f"{len(outcome.wall)} process pairs; limit {SLOWER_WALL:g})"
        f"{': it waits for something' if waits else ''}"
    )
    verdict, code = (Verdict.WORSE, REGRESSION) if worse else (Verdict.SAME, 0)
    said = sentence if worse else ""
    return [Finding(path, case, "wall", verdict, said, code, change=ratio - 1.0)]


def claim_floor(case: dict[str, Any], baseline: Baseline, here: Environment) -> float | None:
    """The least before/after ratio that is no failure; None if nothing is promised.

    `cpu_floor` holds anywhere; nine tenths of the stored ratio (of its lower bound) hold only on
    the processor and with the packages that it was measured with.
    """
    floors = [] if case["cpu_floor"] is None else [case["cpu_floor"]]
    stored = _ratio_stored_here(case, baseline, here)
    if stored:
        floors.append(LOST_CLAIM * stored["low"])  # what was sure then
    return max(floors, default=None)


def claim_known(case: dict[str, Any], baseline: Baseline, here: Environment) -> bool:
    """Whether the ratio of the baseline's code is stored for here, and keeps what is promised."""
    stored = _ratio_stored_here(case, baseline, here)
    return bool(stored) and (case["cpu_floor"] is None or stored["low"] >= case["cpu_floor"])


def _ratio_stored_here(
    case: dict[str, Any], baseline: Baseline, here: Environment
) -> dict[str, float]:
    """The stored before/after ratio; empty if it was measured with other packages, or elsewhere."""
    same = not baseline.environment.difference(here)
    if not same or baseline.environment.processor != here.processor:
        return {}
    return baseline.ratios.get(case["label"], {})


def judge_claim(
    path: str, case: str, outcome: Outcome, floor: float | None, promised: float | None = None
) -> list[Finding]:
    """Whether the speedup over the slow way still holds.

    A ratio below the stored one only raises the suspicion: what the baseline's code does not reach
    here and now either is no loss. What is `promised` for any machine must hold all the same.
    """
    if outcome.claim is None or floor is None:
        return []
    now, worse = outcome.claim, False
    if outcome.claim_by_pairs:  # nothing is asked of it here but what is promised, which it keeps
        return [Finding(path, case, "claim", Verdict.SAME, before=promised, now=now)]
    if outcome.claim_spread is not None:
        now, _, high = outcome.claim_spread
        worse = high < floor
        if outcome.claim_base is not None and outcome.claim_kept is not None:
            broken = promised is not None and high < promised
            worse = outcome.claim_kept < LOST_CLAIM or broken
            floor = promised if promised and broken else LOST_CLAIM * outcome.claim_base
    sentence = (
        f"{path}[{case}], claim: after is {now:.3g} times as fast as before, "
        f"at least {floor:.3g} expected"
    )
    verdict, code = (Verdict.WORSE, REGRESSION) if worse else (Verdict.SAME, 0)
    said = sentence if worse else ""
    return [Finding(path, case, "claim", verdict, said, code, before=floor, now=now)]


def judge_cpu(
    path: str, case: str, outcome: Outcome, rule: CpuRule, baseline: Baseline
) -> list[Finding]:
    """The verdict of the paired CPU time, by the last stages that there were."""
    decisive = outcome.decisive
    if decisive is None:
        return []
    verdict, sentence, code = Verdict.SAME, "", 0
    if outcome.slower(rule):
        verdict, code = Verdict.WORSE, REGRESSION
        sentence = (
            f"{path}[{case}], CPU time: rose by {decisive.mean:.1%} "
            f"(± {3 * decisive.se:.1%}, {len(decisive.logs)} process pairs; limit "
            f"{rule.fail_mean_above:.1%}) against the baseline of {baseline.date} "
            f"({baseline.commit[:10]})"
        )
    elif outcome.faster:
        verdict = Verdict.BETTER
    return [_cpu_finding(path, case, verdict, sentence, code, outcome, decisive)]


def _cpu_finding(
    path: str,
    case: str,
    verdict: Verdict,
    sentence: str,
    code: int,
    outcome: Outcome,
    paired: Paired,
) -> Finding:
    return Finding(
        path,
        case,
        "cpu",
        verdict,
        sentence,
        code,
        now=outcome.cpu_s,
        change=paired.mean,
        plus_minus=3 * paired.se,
    )


def missing(
    path: str,
    case: dict[str, Any],
    witnesses: Sequence[str],
    outcome: Outcome,
    exempt: Collection[str],
) -> list[Finding]:
    """What a case declares and nobody measured: the gate fails closed.

    `exempt` names what cannot be had on this machine; the report says so.
    """
    lacking = []
    if case["timed"] and outcome.first is None:
        lacking.append("cpu")
    if case["timed"] and "wall" in witnesses and not outcome.wall:
        lacking.append("wall")
    if case["compared"] and outcome.agree is None:
        lacking.append(AGREEMENT)
    if case["counted"]:
        counted = outcome.counters.keys() & outcome.base_counters.keys()
        unreached = {str(kind) for kind in outcome.unreached}
        wanted = [name for name in witnesses if name not in UNCOUNTED]
        names = [COUNTER_OF.get(name, name) for name in wanted if name not in unreached]
        spared = {COUNTER_OF.get(name, name) for name in exempt}
        lacking += [name for name in names if name not in counted and name not in spared]
        lacking += [] if counted else ["counters"]
    label = case["label"]
    return [
        Finding(
            path,
            label,
            name,
            Verdict.NOT_MEASURED,
            f"{path}[{label}], {name}: declared, but not measured",
            NotMeasuredError.code,
        )
        for name in lacking
    ]


def blind(path: dict[str, Any], counters: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Witnesses that a hot path should declare, judged by what it was seen to do.

    `counters`: case -> counter -> value.
    """
    seen = {name for counts in counters.values() for name, value in counts.items() if value}
    wanted = {"cpu"}
    if "statements" in seen:
        wanted |= {"statements", "steps", "commits", "fsyncs"}
    wanted |= seen & {"opens", "listings", "processes"}
    return sorted(wanted - set(path["witnesses"]))
