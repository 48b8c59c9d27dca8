"""Findings as a table, sentences and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .files import replace
from .grown import Grown, sentence
from .judge import UNCOUNTED, Finding, exit_code
from .rules import RANK, Verdict, telling, uncounted
from .table import counted, percent, seconds, some, table


@dataclass(frozen=True)
class Report:
    """Everything a run of the gate found."""

    findings: Sequence[Finding]
    notes: Sequence[str]
    facts: dict[str, Any]  # trees, commit, environment, rule, seconds
    exempt: Sequence[str] = ()  # witnesses that cannot be had here, and why
    evidence: dict[str, Any] = field(default_factory=dict)  # pairs, what grew, commits

    @property
    def exit_code(self) -> int:
        return exit_code(self.findings)

    def lines(self) -> list[str]:
        """The report as people read it."""
        rows = [_row(group) for group in _by_case(self.findings)]
        head = ("hot path", "CPU a call", "change", "± 3 se", "counters", "verdict")
        lines = table(head, rows, right=(1, 2, 3))
        lines += ["", "change: CPU time of this code against the baseline's code; > 0 is slower"]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"not measured here: {line}" for line in self.exempt]
        failures = [finding.sentence for finding in self.findings if finding.sentence]
        lines += ["", *failures] if failures else []
        grew: dict[str, Grown] = self.evidence.get("grew", {})
        lines += [f"{case}, what grew most: {sentence(found)}" for case, found in grew.items()]
        if failures and (files := self.evidence.get("uncommitted")):
            lines += [f"not committed: {some(files)}"]
        return [*lines, "", self.last_line()]

    def last_line(self) -> str:
        """One line: how many paths, how they stand, the exit code."""
        by_path: dict[str, list[Finding]] = {}
        for finding in self.findings:
            by_path.setdefault(finding.path, []).append(finding)
        verdicts = [_worst(group) for group in by_path.values()]
        tally = ", ".join(f"{verdicts.count(v)} {v}" for v in reversed(RANK) if v in verdicts)
        word = {0: "PASS", 1: "REGRESSION", 2: "FAILED", 3: "NOT MEASURED", 4: "NO BASELINE"}
        code = self.exit_code
        without = ", ".join(line.partition(":")[0] for line in self.exempt)
        lacking = f", without {without}" if without else ""
        paths = counted(len(verdicts), "hot path")
        return f"{word[code]}: {paths}: {tally}{lacking} (exit code {code})"

    def table(self) -> dict[str, Any]:
        """The whole report, as JSON takes it."""
        return {
            **self.facts,
            "exit_code": self.exit_code,
            "summary": self.last_line(),
            "notes": list(self.notes),
            "exempt": list(self.exempt),
            "findings": [asdict(finding) for finding in self.findings],
            **self.evidence,
        }

    def write(self, file: Path) -> None:
        """The report as JSON; the file is whole or not there."""
        replace(file, json.dumps(self.table(), indent=1) + "\n")


def _by_case(findings: Iterable[Finding]) -> list[list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.name, []).append(finding)
    return list(groups.values())


def _worst(group: Sequence[Finding]) -> Verdict:
    return min((finding.verdict for finding in group), key=RANK.index)


def _row(group: Sequence[Finding]) -> tuple[str, ...]:
    cpu = next((finding for finding in group if finding.witness == "cpu"), None)
    exact = [f for f in group if f.before is not None and f.witness not in UNCOUNTED]
    changed = [finding for finding in exact if finding.now != finding.before]
    changed.sort(key=lambda found: (RANK.index(found.verdict), telling(found.witness)))
    return (
        group[0].name,
        seconds(cpu.now) if cpu else "-",
        percent(cpu.change, "+.1%") if cpu else "-",
        percent(cpu.plus_minus, ".1%") if cpu else "-",
        _counters(exact, changed) if exact else _uncounted(group),
        str(_worst(group)),
    )


def _uncounted(group: Sequence[Finding]) -> str:
    return uncounted((found.witness, found.verdict, found.now) for found in group)


def _counters(exact: Sequence[Finding], changed: Sequence[Finding]) -> str:
    if not changed:
        return f"{len(exact)} equal"
    shown = [f"{finding.witness} {finding.before:,.0f} → {finding.now:,.0f}" for finding in changed]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
