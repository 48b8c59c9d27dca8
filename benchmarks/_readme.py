"""The README's tables come from stored runs.

    python -m benchmarks._readme store [NAME ...]
    python -m benchmarks._readme check

`store` keeps the last reports of `nox -s bench`, `modes`, `claims`, `parity`, `start` and `growth`
(all, or those named) in `benchmarks/results/` and writes their tables into the README; `check`
exits 1 if the README says anything else. Each table has the date of its run. What is stored was
measured on the code that the last `nox -s bench` saw. The claims tell of the modes, so they are run
after them.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import (
    _claims_chart,
    _claims_code,
    _engine,
    _growth,
    _modes,
    _peers,
    _registry,
    _start,
)
from benchmarks._blocks import MissingBlockError, filled
from benchmarks._claims_report import ClaimsFormatError, ClaimsReport
from benchmarks._claims_studies import study_lines
from benchmarks._claims_text import peer_lines, readme_lines
from benchmarks.gate import rules
from benchmarks.gate.files import replace
from benchmarks.gate.own import source_hash
from benchmarks.gate.table import percent, seconds, table

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
SCRATCH = ROOT / ".gate"
CAREFUL = asdict(rules.CAREFUL)
REPORTS = {
    "bench": "last.json",
    "claims": "claims.json",
    "parity": "parity.json",
    "start": "start.json",
    "growth": "growth.json",
    "modes": "modes.json",
}


def main(arguments: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    order, names = words[:1], words[1:]
    known = {"store": set(REPORTS), "check": set[str]()}
    if len(order) != 1 or order[0] not in known or set(names) - known[order[0]]:
        print(__doc__)
        return 2
    try:
        if order == ["store"]:
            _store(names or list(REPORTS))
        text = README.read_text(encoding="utf-8")
        now = rendered(text)
    except (MissingBlockError, ClaimsFormatError) as error:
        print(error)
        return 1
    if order == ["store"]:
        replace(README, now)
    elif text != now:
        print("README.md differs from the stored runs: run `python -m benchmarks._readme store`")
        return 1
    return 0


def rendered(text: str) -> str:
    """The README with its generated blocks as the stored runs have them."""
    blocks = {
        "bench": _bench(),
        "claims": _claims(),
        "parity": _parity(),
        "start": _first_table(),
        "studies": _studies(),
        "growth": _growth.lines_of(_read("growth")),
        "modes": _mode_lines(),
    }
    for name, lines in blocks.items():
        text = filled(text, name, lines)
    return text


def _store(names: Sequence[str]) -> None:
    """Keep the last reports of these names: all, or none where one of them is refused."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    reports = {}
    for name in {"bench": None, **dict.fromkeys(names)}:
        file = SCRATCH / REPORTS[name]
        if not file.is_file():
            raise SystemExit(f"there is no {file}: run `nox -s {name}` first")
        reports[name] = json.loads(file.read_text(encoding="utf-8")) | {"machine": machine}
        if name != "start":  # which has no parts
            _refuse_part(name, reports[name])
    _refuse_other(reports["bench"])
    for name in reports.keys() - {"bench"}:
        _refuse_older(name, reports[name], reports["bench"]["tree"])
    RESULTS.mkdir(exist_ok=True)
    for name in names:
        file, report = RESULTS / f"{name}.json", reports[name]
        if name == "growth":
            _growth.write(report, file)  # with its charts
        else:
            replace(file, json.dumps(report, indent=1) + "\n")
        if name == "claims":
            replace(RESULTS / "claims.svg", _chart(report))


def _chart(claims: dict[str, Any]) -> str:
    return _claims_chart.svg(ClaimsReport.from_json(claims))


def _refuse_part(name: str, report: dict[str, Any]) -> None:
    """Only a whole run is stored: green, careful, every hot path."""
    if name == "growth":
        whole = _growth.is_whole(report)
    elif name == "modes":
        whole = _modes.is_whole(report)
    else:
        measured = {row["path"] for row in report.get("findings", [])}
        measured |= {row["hot_path"] for row in report.get("rows", []) if row["hot_path"]}
        load = {"parity": _peers.load, "claims": _engine.load}.get(name, _registry.load)
        whole = measured == {path.name for path in load()}
    quick = report.get("quick", False) or report.get("rule", CAREFUL) != CAREFUL
    if report.get("exit_code", 0) or quick or not whole:
        raise SystemExit(f"the last run of `nox -s {name}` was red, quick or of some paths only")


def _refuse_other(report: dict[str, Any]) -> None:
    """Only what this gate says of unchanged code is stored: that is what the table is about."""
    if report["gate"] != source_hash():
        raise SystemExit(
            f"the last run of `nox -s bench` was judged by gate {report['gate']}, this is "
            f"{source_hash()}: run it again"
        )
    trees = {path: baseline["tree"] for path, baseline in report["baselines"].items()}
    measured = {finding["path"] for finding in report["findings"]}
    changed = sorted(path for path in measured if trees.get(path) != report["tree"])
    if changed:
        raise SystemExit(
            f"the last run of `nox -s bench` compared changed code ({', '.join(changed)}): "
            f"run `nox -s bench -- --against HEAD` with nothing to commit"
        )


def _refuse_older(name: str, report: dict[str, Any], tree: str) -> None:
    """Only what was found of the code that `nox -s bench` saw, with the suites as they are."""
    asked = [("code", report.get("tree"), tree)]
    if name == "modes":
        asked.append(("searches", report.get("suite"), _modes.suite()))
    elif name not in ("start", "growth"):  # which have their own programs
        suite = _claims_code.suites(ROOT, peers=name == "parity")
        asked.append(("suites", report.get("suite"), suite))
    for what, found, expected in asked:
        if found != expected:
            raise SystemExit(
                f"the last run of `nox -s {name}` measured {what} {found or 'of no known hash'}, "
                f"expected {expected}: run it again"
            )


def _read(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return report


def _bench() -> list[str]:
    """A/A: what unchanged code looks like to the gate."""
    report = _read("bench")
    cpu = [finding for finding in report["findings"] if finding["witness"] == "cpu"]
    rows = [
        (
            f"{finding['path']}[{finding['case']}]",
            seconds(finding["now"]),
            percent(finding["change"], "+.1%"),
            percent(finding["plus_minus"], ".1%"),
            finding["verdict"],
        )
        for finding in cpu
    ]
    return [
        f"{report['date'][:10]}, {report['machine']}, {report['environment']['python']}, "
        f"{report['seconds']:.0f} s",
        *table(("hot path", "CPU a call", "change", "± 3 se", "verdict"), rows, right=(1, 2, 3)),
        report["summary"],
    ]


def _claims() -> list[str]:
    return readme_lines(ClaimsReport.from_json(_read("claims")))


def _parity() -> list[str]:
    return peer_lines(ClaimsReport.from_json(_read("parity")))


def _studies() -> list[str]:
    return study_lines(ClaimsReport.from_json(_read("parity")))


def _mode_lines() -> list[str]:
    if not (RESULTS / "modes.json").is_file():
        return ["not measured yet: nox -s modes"]
    return _modes.lines_of(_read("modes"))


def _first_table() -> list[str]:
    return _start.lines_of(_read("start"))


if __name__ == "__main__":
    raise SystemExit(main())
