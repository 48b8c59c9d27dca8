"""A report with one of everything, built from real findings, for the tests of its pages."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from typing import Any

from benchmarks.gate.baselines import Baseline, Environment
from benchmarks.gate.errors import BaselineError, BodyRaisedError
from benchmarks.gate.judge import (
    Finding,
    failure,
    judge_agreement,
    judge_claim,
    judge_counters,
    judge_cpu,
    judge_wall,
)
from benchmarks.gate.outcome import Outcome
from benchmarks.gate.report import Report
from benchmarks.gate.rules import CAREFUL, Verdict
from benchmarks.gate.view import paired

Pairs = list[tuple[float, float]]

ODD = 'odd."Path" <b>&|'  # a hot path whose name would break a page that forgets to escape
ODD_CASE = "sql=SELECT 'a' | <i>\x08`"
SQL = "SELECT value FROM evaluations WHERE a < 3 AND \"b\" <> '&amp;' || 'x' -- one more"
REGRESSION = "sampling.Tpe[trials=1000]"
LOST_INDEX = "stores.AddBatch[n=1000]"
COMMITS = [
    {"hash": "5f" * 20, "date": "2024-06-02", "subject": "Validate <each> signature & its length"},
    {"hash": "7d" * 20, "date": "2024-06-01", "subject": "Read the settings once | per study"},
]
ENVIRONMENT = Environment(
    "cpython 3.11.7",
    {"numpy": "2.4.6", "optuna": "5.0.0", "sqlite": "3.40.1"},
    {"bytecodes": "2 settrace", "effects": "2"},
    "a processor",
)
COUNTERS = {
    "bytecodes": 15_300,
    "c_calls": 412,
    "commits": 1,
    "opens": 2,
    "python_calls": 96,
    "statements": 3,
    "steps": 1_022,
}


def draw_pairs(rng: random.Random, number: int, change: float, body_s: float) -> Pairs:
    """CPU seconds a call of this code and the baseline's, noisy as on a shared machine."""
    bases = [body_s * rng.gauss(1.0, 0.01) for _ in range(number)]
    return [(base * (1.0 + change) * rng.gauss(1.0, 0.009), base) for base in bases]


def _baseline(path: str) -> Baseline:
    return Baseline(
        path, "b" * 40, "c0ffee1234" + "b" * 30, "w", ENVIRONMENT, {}, {}, "first", "2024-05-17"
    )


class _Sample:
    """Collects what a run would have found."""

    def __init__(self) -> None:
        self.rng = random.Random(20240601)
        self.findings: list[Finding] = []
        self.pairs: dict[str, dict[str, Any]] = {}

    def case(
        self, path: str, case: str, change: float, body_s: float, *, second: int = 0, **more: int
    ) -> None:
        """A case that was measured: `second` pairs of the second stage, `more` of some counters."""
        stages = {"first": draw_pairs(self.rng, 6, change, body_s)}
        if second:
            stages["second"] = draw_pairs(self.rng, second, change, body_s)
        outcome = Outcome(
            counters={name: amount + more.get(name, 0) for name, amount in COUNTERS.items()},
            base_counters=COUNTERS,
            first=paired(stages["first"]),
            second=paired(stages["second"]) if second else None,
            wall=(1.03 + change, 0.98 + change),
            cpu_s=body_s,
            claim_looks=[12.5],
            agree=True,
        )
        self.findings += judge_agreement(path, case, outcome)
        self.findings += judge_counters(path, case, outcome)
        self.findings += judge_cpu(path, case, outcome, CAREFUL, _baseline(path))
        self.findings += judge_wall(path, case, outcome)
        self.findings += judge_claim(path, case, outcome, 10.0)
        self.pairs[f"{path}[{case}]"] = {**stages, "wall": list(outcome.wall)}


GREW = {
    LOST_INDEX: {
        "functions": [["stores/_sqlite.py:add_batch", 1_200_000, 1_390_000], ["loads", 0, 4_100]],
        "statements": [[SQL, 0, 2]],
        "files opened": [["/study/settings.json", 1, 1_001]],
        "bytecodes by function": [[f"f{n}", 100 * n, 130 * n] for n in range(15, 0, -1)],
        "allocated at peak": [["stores/_sqlite.py:118", 1_048_576, 2_097_152]],
    }
}


FACTS = {
    "date": "2024-06-03T09:30:00+00:00",
    "commit": "5f" * 20,
    "tree": "a" * 40,
    "gate": "9a7e" * 4,
    "environment": asdict(ENVIRONMENT),
    "rule": asdict(CAREFUL),
    "seconds": 62.4,
}
EXEMPT = ["instructions: valgrind is not installed"]


def sample() -> dict[str, Any]:
    """A red report: a pass, two kinds of regression, a failed case, lost and new paths."""
    made = _Sample()
    made.case("backtest.Track", "schedule=daily", 0.001, 0.0041)
    made.case("backtest.Track", "schedule=monthly", -0.004, 0.00019)
    made.case("sampling.Tpe", "trials=100", 0.004, 0.0008)
    made.case("sampling.Tpe", "trials=1000", 0.046, 0.0126, second=24)
    made.case("stores.AddBatch", "n=100", 0.009, 0.0024, second=8)
    made.case("stores.AddBatch", "n=1000", 1.1, 0.031, second=24, statements=2, steps=998_001)
    made.case("stores.SeenEach", "n=1000", -0.12, 0.0063, python_calls=-12)
    made.case(ODD, ODD_CASE, 0.0, 0.0009, bytecodes=20)
    made.findings.append(
        failure("workers.Pool", "workers=2", BodyRaisedError("ValueError at pool.py:7: <x> & `y`"))
    )
    made.findings.append(
        failure("study.Lost", "", BaselineError("its baseline was removed: run `git fetch`"))
    )
    made.findings.append(Finding("sampling.Tpe", "trials=9", "run", Verdict.SKIPPED))
    made.findings.append(Finding("space.Grid", "size=64", "baseline", Verdict.NEW))
    paths = dict.fromkeys(name.partition("[")[0] for name in made.pairs)
    stored = {
        path: {
            "commit": _baseline(path).commit,
            "tree": "b" * 40,
            "date": "2024-05-17",
            "reason": "first",
            "commits": COMMITS,
        }
        for path in paths
    }
    evidence = {"pairs": made.pairs, "baselines": stored, "grew": GREW}
    notes = ["space.Grid is new: store it with `rebaseline`"]
    return _stored(Report(made.findings, notes, FACTS, EXEMPT, evidence))


def calm() -> dict[str, Any]:
    """A green report, without what only some runs have."""
    made = _Sample()
    made.case("backtest.Track", "schedule=daily", 0.001, 0.0041)
    made.case("sampling.Tpe", "trials=100", 0.002, 0.0008)
    return _stored(Report(made.findings, [], FACTS))


def _stored(report: Report) -> dict[str, Any]:
    """The report as it comes out of its file."""
    table: dict[str, Any] = json.loads(json.dumps(report.table()))
    return table
