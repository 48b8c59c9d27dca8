"""One run of the gate, as the ledger keeps it: what it was made with, and what it said."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks import _records
from benchmarks._answer import Answer
from benchmarks._planting import ROOT, Clone, Line, git
from benchmarks._plants_cpu import CPU
from benchmarks._plants_kinds import Work
from benchmarks._records import LedgerError, Record
from benchmarks.gate import instruments, strace
from benchmarks.gate.errors import GateError
from benchmarks.gate.project import read_project
from benchmarks.gate.run import Run

ERRORS_CHARACTERS = 2_000  # of what a broken gate said, that are kept


def planted_of(work: Work, line: Line, share: float, answer: Answer) -> Record:
    """What the gate said of one planted work; `reached` is None where it was not measured."""
    own = [f for f in answer.findings if (f["path"], f["case"]) == work.key]
    worse = {finding["witness"] for finding in own if finding["verdict"] == "worse"}
    n = line.n_for(share)
    return {
        "path": work.path,
        "case": work.case,
        "n": n,
        "expected": line.at(n),
        "too_coarse": line.too_coarse(share),
        "reached": next((f["change"] for f in own if f["witness"] == "cpu"), None),
        "by_cpu": "cpu" in worse,
        "witnesses": sorted(worse),
    }


def stamp_of(clone: Clone) -> Record:
    """What a record was made with; records with equal stamps are counted together."""
    measured = ("optimizer", "benchmarks", ":!benchmarks/ledger")
    return {
        "commit": git(ROOT, "rev-parse", "HEAD"),
        "clean": not git(ROOT, "status", "--porcelain", "--", *measured),
        "code": git(clone.folder, "rev-parse", f"{clone.start}:optimizer"),
        "suite": _records.suite_hash(clone.folder),
        "gate": _records.gate_hash(clone.folder),
        "plants": _records.plants_hash(CPU),
        "environment": _environment(clone),
        "without": _without(),
    }


def _environment(clone: Clone) -> Record:
    try:
        here = asdict(Run(read_project(clone.folder), against="HEAD").environment)
    except GateError as error:
        raise LedgerError(f"the gate cannot say what it would measure with: {error}") from error
    return {name: here[name] for name in ("python", "packages", "processor")}


def _without() -> list[str]:
    """The witnesses that cannot be had here; a report names those of its hot paths only."""
    lacking = [str(kind) for kind in instruments.Kind if instruments.unavailable(kind)]
    return [*lacking, *(["fsyncs"] if strace.unavailable() else [])]


def like(records: Sequence[Record], stamp: Record) -> list[Record]:
    """Records of the same kind of run; the code under test may be another, as in a group."""
    other = {"commit", "clean", "code"} | ({"plants"} if "percent" not in stamp else set())
    same = [name for name in stamp if name not in other]
    return [r for r in records if all(r[name] == stamp[name] for name in same)]


def record_of(stamp: Record, answer: Answer) -> Record:
    """One run of the gate, as it is kept; `errors` says why it broke, if it did."""
    said = ("path", "case", "witness", "verdict", "code", "before", "now", "change", "plus_minus")
    findings = [
        {name: finding[name] for name in said if finding[name] not in (None, "")}
        for finding in answer.findings
        if finding["verdict"] != "same"
    ]
    errors = _errors(answer)
    pairs = {} if errors else answer.table["pairs"]
    return stamp | {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": answer.seconds,
        "exit_code": answer.code,
        "errors": errors,
        "findings": findings,
        "pairs": {case: stages for case, stages in pairs.items() if stages},
    }


def _errors(answer: Answer) -> str:
    """What went wrong with the gate itself: no report, or something that was not measured."""
    if answer.table and answer.code in (0, 1):
        return ""
    return answer.said()[:ERRORS_CHARACTERS] or "no report, and nothing on standard error"
