"""Measurements in, findings out: one finding for each witness of each case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .baselines import Baseline
from .errors import BaselineError, GateError, NotMeasuredError
from .measure import Outcome
from .rules import BYTECODES_TOLERANCE, CpuRule, Paired, Verdict, counter_increased

REGRESSION = 1
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
        f"path, or delete its baseline in the commit that removes it",
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
        return [Finding(path, case, "agreement", Verdict.SAME)]
    sentence = (
        f"{path}[{case}], agreement: before and after gave different answers, so nothing that "
        f"was timed counts"
    )
    return [Finding(path, case, "agreement", Verdict.FAILED, sentence, 2)]


def judge_counters(
    path: str, case: str, before: dict[str, int], now: dict[str, int], again: dict[str, int] | None
) -> list[Finding]:
    """One finding for each counter; an increase must show in a second process (`again`) too."""
    findings = []
    for name in sorted({*before, *now}):
        if name not in before or name not in now:
            continue  # fsyncs, where strace is missing on one side; said by the report
        old, new = before[name], now[name]
        change = (new - old) / old if old else None
        verdict, sentence, code = Verdict.SAME, "", 0
        confirmed = again is None or counter_increased(name, old, again.get(name, new))
        if counter_increased(name, old, new) and confirmed:
            allowed = f"{BYTECODES_TOLERANCE:.0%} more" if name == "bytecodes" else "no more"
            sentence = f"{path}[{case}], {name}: rose from {old:,} to {new:,} ({allowed} allowed)"
            verdict, code = Verdict.WORSE, REGRESSION
        elif new < old and name != "bytecodes":
            verdict = Verdict.BETTER
        findings.append(
            Finding(path, case, name, verdict, sentence, code, float(old), float(new), change)
        )
    return findings


def judge_cpu(
    path: str, case: str, outcome: Outcome, rule: CpuRule, baseline: Baseline
) -> list[Finding]:
    """The verdict of the paired CPU time: the second stage's where there was one."""
    decisive = outcome.second or outcome.first
    if decisive is None:
        return []
    verdict, sentence, code = Verdict.SAME, "", 0
    if outcome.second is not None and decisive.slower(rule):
        verdict, code = Verdict.WORSE, REGRESSION
        sentence = (
            f"{path}[{case}], CPU time: rose by {decisive.mean:.1%} "
            f"(± {3 * decisive.se:.1%}, {len(decisive.logs)} process pairs; limit "
            f"{rule.fail_mean_above:.1%}) against the baseline of {baseline.date} "
            f"({baseline.commit[:10]})"
        )
    elif decisive.faster:
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
    path: str, case: dict[str, Any], witnesses: Sequence[str], outcome: Outcome
) -> list[Finding]:
    """What a case declares and nobody measured: the gate fails closed."""
    lacking = []
    if case["timed"] and outcome.first is None:
        lacking.append("cpu")
    if case["compared"] and outcome.agree is None:
        lacking.append("agreement")
    if case["counted"]:
        counted = outcome.counters.keys() & outcome.base_counters.keys()
        exempt = {"cpu", "fsyncs"}  # fsyncs need strace; a note says where it is missing
        lacking += [name for name in witnesses if name not in counted and name not in exempt]
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
