"""The ledger's README: its tables, from the recorded runs and nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _records
from benchmarks._records import FOLDER, LedgerError, Record
from benchmarks._replay import upper_bound
from benchmarks.gate.files import replace
from benchmarks.gate.table import table

NOTHING = ["nothing recorded yet"]


def write_report(folder: Path = FOLDER) -> Path:
    """Write the tables into the README of `folder`; returns the file."""
    file = folder / "README.md"
    replace(file, rendered(file.read_text(encoding="utf-8"), folder))
    return file


def rendered(text: str, folder: Path = FOLDER) -> str:
    """The README with its generated blocks as the recorded runs have them."""
    kinds = ("aa", "inject", "replay", "asv")
    records = {kind: _records.read(kind, folder) for kind in kinds}
    last = max(records["aa"] + records["inject"], key=lambda r: r["date"], default=None)
    gate = last["gate"] if last else ""
    for name, lines_of in _BLOCKS.items():
        start, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
        head, found, rest = text.partition(start)
        _, ended, tail = rest.partition(end)
        if not (found and ended):
            raise LedgerError(f"the ledger's README lost its block {name!r}: restore it from git")
        lines = lines_of({kind: _of(all_, gate) for kind, all_ in records.items()}, records)
        text = "\n".join([head + start + "```text", *(lines or NOTHING), "```", end]) + tail
    return text


_Kinds = dict[str, list[Record]]


def _of(records: Sequence[Record], gate: str) -> list[Record]:
    return [record for record in records if record["gate"] == gate]


def _groups(records: Sequence[Record], *names: str) -> list[tuple[tuple[Any, ...], list[Record]]]:
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        found.setdefault(tuple(record[name] for name in names), []).append(record)
    return sorted(found.items())


def _rate(part: int, of: int) -> str:
    return f"{part / of:.1%}" if of else "-"


# --- the blocks


def _made_with(now: _Kinds, everything: _Kinds) -> list[str]:
    """Which gate, machine and code the tables are about, and what is left out of them."""
    records = now["aa"] + now["inject"]
    if not records:
        return []
    dates = sorted(record["date"][:10] for record in records)
    machines = sorted(
        {f"{r['environment']['processor']}, {r['environment']['python']}" for r in records}
    )
    without = sorted({name for record in records for name in record["without"]})
    lines = [
        f"gate {records[0]['gate']}, {dates[0]} to {dates[-1]}",
        *(f"machine: {machine}" for machine in machines),
        f"code under test: {', '.join(sorted({r['code'][:12] for r in records}))}",
        f"witnesses that could not be had: {', '.join(without) or 'none'}",
    ]
    older = [r for r in everything["aa"] + everything["inject"] if r not in records]
    for (gate,), group in _groups(older, "gate"):
        aa = [record for record in group if "subset" in record]
        red = sum(record["exit_code"] != 0 for record in aa)
        lines.append(
            f"not counted here, an older gate {gate}: {len(aa)} unchanged runs of which {red} were "
            f"red, {len(group) - len(aa)} runs with plants"
        )
    return lines


def _live(now: _Kinds, everything: _Kinds) -> list[str]:
    rows = []
    groups = _groups(now["aa"], "subset", "load")
    totals = [((subset, "all"), group) for (subset,), group in _groups(now["aa"], "subset")]
    for (subset, load), group in sorted(groups + totals, key=lambda one: one[0][0]):
        red = sum(record["exit_code"] != 0 for record in group)
        middle = statistics.median(record["seconds"] for record in group)
        what = "five hot paths" if subset else "whole suite"
        bound = f"{upper_bound(red, len(group)):.1%}"
        rows.append((what, load, str(len(group)), str(red), bound, f"{middle:.0f}"))
    head = ("unchanged code", "load", "runs", "red", "true rate at most (95%)", "median s")
    lines = table(head, rows, right=(2, 3, 4, 5)) if rows else []
    for record in now["aa"]:
        if record["exit_code"]:
            found = "; ".join(_told(finding) for finding in record["findings"] if finding["code"])
            lines.append(f"red: {record['date']}, {record['load']}: {found}")
    return lines


def _told(finding: Record) -> str:
    change = f" {finding['change']:+.1%}" if "change" in finding else ""
    return f"{finding['path']}[{finding.get('case', '')}] {finding['witness']}{change}"


def _injected(now: _Kinds, everything: _Kinds) -> list[str]:
    rows, missed = [], []
    for (percent,), group in _groups(now["inject"], "percent"):
        planted = [one for record in group for one in record["planted"]]
        cpu = [one for one in planted if one["by_cpu"]]
        seen = [one for one in planted if one["witnesses"]]
        sizes = sorted(one["reached"] for one in planted)
        rows.append(
            (
                f"{percent:g}%",
                str(len(planted)),
                f"{sizes[0]:.1%} / {statistics.median(sizes):.1%} / {sizes[-1]:.1%}",
                f"{len(cpu)} ({_rate(len(cpu), len(planted))})",
                f"{len(seen)} ({_rate(len(seen), len(planted))})",
            )
        )
        missed += [
            f"missed by CPU time: {one['path']}[{one['case']}], {percent:g}% planted, "
            f"{one['reached']:+.1%} measured; caught by {', '.join(one['witnesses']) or 'nothing'}"
            for one in planted
            if not one["by_cpu"]
        ]
    head = (
        *("slower by", "planted", "measured, least / median / most"),
        *("caught by CPU time", "caught by any witness"),
    )
    return [*table(head, rows, right=(0, 1)), *missed] if rows else []


def _replayed(now: _Kinds, everything: _Kinds) -> list[str]:
    if not now["replay"]:
        return []
    record = now["replay"][-1]
    rows = []
    for how, results in record["results"].items():
        for what, found in results.items():
            if what == "unchanged":
                bound = f"{upper_bound(found['red'], found['suites']):.2%}"
                answer = f"{found['red']} red, true rate at most {bound} (95%)"
            else:
                weakest, (judged, caught) = min(
                    found["by_case"].items(), key=lambda one: one[1][1] / one[1][0]
                )
                answer = (
                    f"{_rate(found['slower'], found['cases'])} of cases caught; least "
                    f"{_rate(caught, judged)}, {weakest}"
                )
            name = what if what == "unchanged" else f"{what}% slower"
            rows.append((how, name, str(found["suites"]), answer))
    runs = f"from {record['runs']} recorded runs ({', '.join(record['loads'])})"
    return [runs, *table(("how", "code", "suites", "the gate's CPU rule"), rows, right=(2,))]


def _asv(now: _Kinds, everything: _Kinds) -> list[str]:
    if not now["asv"]:
        return []
    record = now["asv"][-1]
    rows = []
    for share, found in record["results"].items():
        flagged = f"{found['flagged']} ({_rate(found['flagged'], found['comparisons'])})"
        red = f"{found['red']} ({_rate(found['red'], found['suites'])})"
        name = "unchanged" if share == "0" else f"{share}% slower"
        rows.append((name, str(found["comparisons"]), flagged, str(found["suites"]), red))
    head = ("code", "comparisons", "called slower", "suites", "red")
    runs = f"from {record['runs']} recorded runs ({', '.join(record['loads'])})"
    return [runs, *table(head, rows, right=(1, 3))]


_BLOCKS: dict[str, Callable[[_Kinds, _Kinds], list[str]]] = {
    "made with": _made_with,
    "live": _live,
    "injected": _injected,
    "replayed": _replayed,
    "asv": _asv,
}
