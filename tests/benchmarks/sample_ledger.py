"""Answers of the gate and what records are made of, for the ledger's tests."""

from __future__ import annotations

from typing import Any

from benchmarks._answer import Answer
from benchmarks._planting import Line
from benchmarks._plants_cpu import CPU

CASES = ("toy.Path[n=1]", "toy.Other[n=1]")


def answer(code: int = 0, *findings: dict[str, Any], case: str = CASES[0]) -> Answer:
    environment = {"python": "cpython 3.11", "packages": {"numpy": "2"}, "processor": "one"}
    table = {
        "environment": environment | {"instruments": {"memory": "long"}},
        "exempt": ["instructions: valgrind is not installed"],
        "findings": list(findings),
        "pairs": {name: {"first": [[1e-3, 1e-3]] * 6, "wall": [1.0]} for name in CASES}
        | {"toy.Untimed[n=1]": {}},
    }
    return Answer(code, table, "", 12.345678)


def finding(verdict: str, witness: str = "cpu", work: Any = None, **more: Any) -> dict[str, Any]:
    work = work or CPU[0]
    return {
        "path": work.path,
        "case": work.case,
        "witness": witness,
        "verdict": verdict,
        "sentence": "",
        "code": int(verdict == "worse"),
        "before": None,
        "now": 1e-3,
        "change": 0.1,
        "plus_minus": 0.01,
        **more,
    }


STAMP: dict[str, Any] = {
    "commit": "c0",
    "clean": True,
    "code": "t0",
    "suite": "s0",
    "gate": "g0",
    "plants": "p0",
    "environment": {"python": "3.11", "packages": {"numpy": "2"}, "processor": "one"},
    "without": ["memory"],
}
LINE = Line(low_n=5, low=0.05, high_n=10, high=0.10)  # a hundredth a unit
LIVE = STAMP | {"load": "quiet", "subset": False}
