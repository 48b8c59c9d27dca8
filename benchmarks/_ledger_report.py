"""The ledger's README: its tables, from the recorded runs and nothing else."""

from __future__ import annotations

import statistics
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _records
from benchmarks._blocks import MissingBlockError, filled
from benchmarks._records import FOLDER, LedgerError, Record, is_red
from benchmarks._replay import lower_bound, upper_bound
from benchmarks.gate.files import replace
from benchmarks.gate.table import table

WIDTH = 100  # of what may be wrapped
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
    live = sorted(records["aa"] + records["inject"], key=lambda record: record["date"])
    newest = _records.newest_gate(live) if live else []
    groups = [_of(records, group[0]) for group in _records.groups(newest)]
    for name, lines_of in _BLOCKS.items():
        lines = _by_group([lines_of(group) for group in groups])
        if name == "made with":
            lines += _older([record for record in live if record not in newest])
        try:
            text = filled(text, name, lines or NOTHING)
        except MissingBlockError as error:
            raise LedgerError(f"the ledger: {error}") from None
    return text


_Kinds = dict[str, list[Record]]


def _of(records: _Kinds, one: Record) -> _Kinds:
    """Of each kind, the records that may be counted together with `one`."""
    group = _records.group_of(one)
    return {
        kind: [record for record in all_ if _records.group_of(record) == group]
        for kind, all_ in records.items()
    }


def _by_group(parts: Sequence[list[str]]) -> list[str]:
    """The lines of each group, which is named where there are several."""
    if len(parts) < 2:
        return [line for lines in parts for line in lines]
    lines: list[str] = []
    for number, part in enumerate(parts, start=1):
        lines += [""] * bool(lines) + [f"group {number}:", *(part or NOTHING)]
    return lines


def _groups(records: Sequence[Record], *names: str) -> list[tuple[tuple[Any, ...], list[Record]]]:
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        found.setdefault(tuple(record[name] for name in names), []).append(record)
    return sorted(found.items())


def _rate(part: int, of: int) -> str:
    return f"{part / of:.1%}" if of else "-"


def _caught(part: int, of: int) -> str:
    """A rate beside what it is at least (exact, 95%)."""
    bound = f", at least {lower_bound(part, of):.1%}" if of else ""
    return f"{part} ({_rate(part, of)}{bound})"


# --- the blocks


def _made_with(now: _Kinds) -> list[str]:
    """Which gate, machine and code a group's tables are about."""
    records = now["aa"] + now["inject"]
    dates = sorted(record["date"][:10] for record in records)
    one = records[0]
    here = one["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in sorted(here["packages"].items()))
    return [
        f"gate {one['gate']}, {dates[0]} to {dates[-1]}",
        f"machine: {here['processor']}, {here['python']}",
        *textwrap.wrap(f"packages: {packages}", WIDTH, subsequent_indent="    "),
        f"suites: {one['suite']}",
        *textwrap.wrap(f"code under test: {_codes(records)}", WIDTH, subsequent_indent="    "),
        f"witnesses that could not be had: {', '.join(one['without']) or 'none'}",
    ]


def _codes(records: Sequence[Record]) -> str:
    """Each version of the code under test, with how many runs were made of it."""
    found = Counter(record["code"][:12] for record in records)
    return ", ".join(f"{code} ({runs})" for code, runs in found.items())


def _older(records: Sequence[Record]) -> list[str]:
    """What is left out of the tables."""
    lines = []
    for group in _records.groups(records):
        one = group[0]
        aa = [record for record in group if "subset" in record]
        lines.append(
            f"not counted here, an older gate {one['gate']} on suites {one['suite']}: {len(aa)} "
            f"unchanged runs of which {sum(map(is_red, aa))} were red, "
            f"{len(group) - len(aa)} runs with plants"
        )
    return lines


def _live(now: _Kinds) -> list[str]:
    rows = []
    groups = _groups(now["aa"], "subset", "load")
    totals = [((subset, "all"), group) for (subset,), group in _groups(now["aa"], "subset")]
    for (subset, load), group in sorted(groups + totals, key=lambda one: one[0][0]):
        red = sum(map(is_red, group))
        middle = statistics.median(record["seconds"] for record in group)
        what = "five hot paths" if subset else "whole suite"
        bound = f"{upper_bound(red, len(group)):.1%}"
        rows.append((what, load, str(len(group)), str(red), bound, f"{middle:.0f}"))
    head = ("unchanged code", "load", "runs", "red", "true rate at most (95%)", "median s")
    lines = table(head, rows, right=(2, 3, 4, 5)) if rows else []
    for record in filter(is_red, now["aa"]):
        found = "; ".join(_told(finding) for finding in record["findings"] if finding["code"])
        said = _broke(record) or found
        lines.append(f"red: {record['date']}, {record['load']}: {said}")
    return lines


def _broke(record: Record) -> str:
    if not record["errors"]:
        return ""
    return f"the gate broke (exit code {record['exit_code']}): {record['errors']}"


def _told(finding: Record) -> str:
    change = f" {finding['change']:+.1%}" if "change" in finding else ""
    return f"{finding['path']}[{finding.get('case', '')}] {finding['witness']}{change}"


def _injected(now: _Kinds) -> list[str]:
    rows, notes = [], []
    newest = now["inject"][-1]["plants"] if now["inject"] else ""
    records = [record for record in now["inject"] if record["plants"] == newest]
    for (percent,), group in _groups(records, "percent"):
        every = [one for record in group for one in record["planted"]]
        planted = [one for one in every if not one["too_coarse"]]
        if planted:
            rows.append(_injected_row(percent, planted))
        notes += [_missed(one, percent) for one in planted if not one["by_cpu"]]
        notes += [_coarse(one, percent) for one in every if one["too_coarse"]]
        notes += [
            f"{record['date']}, {percent:g}%: {_broke(record)}"
            for record in group
            if record["errors"]
        ]
    if other := len(now["inject"]) - len(records):
        notes.append(f"not counted here: {other} runs with other plants")
    head = (
        *("slower by", "planted", "measured, least / median / most"),
        *("caught by CPU time (bound: 95%)", "caught by any witness"),
    )
    return [*(table(head, rows, right=(0, 1)) if rows else []), *notes]


def _injected_row(percent: float, planted: Sequence[Record]) -> tuple[str, ...]:
    sizes = sorted(one["reached"] for one in planted if one["reached"] is not None)
    middle = statistics.median(sizes) if sizes else 0.0
    return (
        f"{percent:g}%",
        str(len(planted)),
        f"{sizes[0]:.1%} / {middle:.1%} / {sizes[-1]:.1%}" if sizes else "-",
        _caught(sum(one["by_cpu"] for one in planted), len(planted)),
        _caught(sum(bool(one["witnesses"]) for one in planted), len(planted)),
    )


def _missed(one: Record, percent: float) -> str:
    return (
        f"missed by CPU time: {one['path']}[{one['case']}], {percent:g}% planted, "
        f"{_reached(one)}; caught by {', '.join(one['witnesses']) or 'nothing'}"
    )


def _coarse(one: Record, percent: float) -> str:
    return (
        f"not counted at {percent:g}%: {one['path']}[{one['case']}], whose smallest plant adds "
        f"{one['expected']:.1%}; {_reached(one)}; caught by "
        f"{', '.join(one['witnesses']) or 'nothing'}"
    )


def _reached(one: Record) -> str:
    return "not measured" if one["reached"] is None else f"{one['reached']:+.1%} measured"


def _replayed(now: _Kinds) -> list[str]:
    if not now["replay"]:
        return []
    record = now["replay"][-1]
    rows = []
    for how, results in record["results"].items():
        for percent, found in results.items():
            unchanged = percent == "0"
            answer = _red_again(found) if unchanged else _caught_again(found)
            name = "unchanged" if unchanged else f"{percent}% slower"
            rows.append((how, name, str(found["suites"]), answer))
    head = ("how", "code", "suites", "the gate's CPU rule (bounds: 95%)")
    return [_resting(record), *table(head, rows, right=(2,))]


def _red_again(found: Record) -> str:
    rate = f"{found['red']} red ({found['red'] / found['suites']:.2%})"
    apart = found.get("independent")
    if apart is None:
        return f"{rate}, resampled"
    bound = f"{upper_bound(apart['red'], apart['suites']):.2%}"
    return (
        f"{rate}; {apart['red']} of {apart['suites']} independent windows, true rate at most "
        f"{bound}"
    )


def _caught_again(found: Record) -> str:
    rate = f"{_rate(found['slower'], found['cases'])} of cases caught"
    apart = found.get("independent")
    weakest, (judged, caught) = min(
        (apart or found)["by_case"].items(), key=lambda one: one[1][1] / one[1][0]
    )
    if apart is None:
        return f"{rate}, least {_rate(caught, judged)}, {weakest}; resampled"
    return f"{rate}; least in {judged} independent windows {_caught(caught, judged)}, {weakest}"


def _asv(now: _Kinds) -> list[str]:
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
    return [_resting(record), *table(head, rows, right=(1, 3))]


def _resting(record: Record) -> str:
    dropped = f"; {record['dropped']} that lacked a case left out" if record["dropped"] else ""
    return f"from {record['runs']} recorded runs ({', '.join(record['loads'])}){dropped}"


_BLOCKS: dict[str, Callable[[_Kinds], list[str]]] = {
    "made with": _made_with,
    "live": _live,
    "injected": _injected,
    "replayed": _replayed,
    "asv": _asv,
}
