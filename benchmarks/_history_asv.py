"""The recorded history as asv's results, and asv's site of them.

What asv would have written itself is made from the records each time; `asv run` keeps its own
results elsewhere, since it measures in another way.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._history_store import (
    ALLOCATIONS,
    COLUMNS,
    COST_RATIO,
    CPU_S,
    INSTRUCTIONS,
    PEAK_BYTES,
    HistoryError,
    Machine,
    Record,
    Recorded,
    of_tree,
    workloads_now,
)
from benchmarks.gate.files import replace
from benchmarks.gate.rules import Growth, allowed_growth


@dataclass(frozen=True)
class Quantity:
    """A column of the records, as a graph of asv's."""

    name: str
    unit: str
    kind: str  # asv's type of a benchmark
    meaning: str
    allowed: Growth | None  # a step of less is no regression; None: none is, whatever its size


QUANTITIES = {
    COST_RATIO: Quantity(
        *("cost_ratio", "after/before", "track"),
        "CPU time of after / CPU time of before, by turns in fresh processes; less is faster",
        Growth(0.05),
    ),
    CPU_S: Quantity(
        *("cpu_time", "seconds", "time"),
        "CPU seconds of one call of after; its machine's state moves it, the cost ratio less so",
        None,  # seconds of the same code follow the speed of a shared machine
    ),
    INSTRUCTIONS: Quantity(
        *("instructions", "instructions", "track"),
        "machine instructions of one call of after, counted by callgrind; exact",
        allowed_growth("instructions"),
    ),
    PEAK_BYTES: Quantity(
        *("peak_memory", "bytes", "memory"),
        "peak of what one call of after allocates, counted by memray; exact",
        allowed_growth("peak_bytes"),
    ),
    ALLOCATIONS: Quantity(
        *("allocations", "allocations", "track"),
        "allocations of one call of after, counted by memray; exact",
        allowed_growth("allocations"),
    ),
}


@dataclass(frozen=True)
class Commit:
    """A commit that changed the code under test."""

    hash: str
    tree: str
    time_s: int  # of its author's date, seconds since 1970
    subject: str


@dataclass(frozen=True)
class Regression:
    """A step upward that asv found in a graph, still there at the newest commit."""

    graph: str  # with the case
    before: float
    now: float
    commit: str

    def line(self, subjects: Mapping[str, str]) -> str:
        change = f"{self.now / self.before - 1:+.1%}" if self.before else "from nothing"
        subject = subjects.get(self.commit, "")
        return (
            f"{self.graph}: {self.before:.4g} → {self.now:.4g} ({change}) "
            f"at {self.commit[:8]} {subject}".rstrip()
        )


# --- asv's files


def write_results(records: Sequence[Record], commits: Sequence[Commit], folder: Path) -> int:
    """asv's results of these commits, anew; returns how many commits have any.

    A hot path's numbers of another workload than the last recorded one are left out.
    """
    shutil.rmtree(folder, ignore_errors=True)
    workloads = workloads_now(records)
    replace(folder / "benchmarks.json", json.dumps(_benchmarks(records, workloads)))
    shown = 0
    for commit in commits:
        found = list(of_tree(records, commit.tree))
        shown += bool(found)
        for record in found:
            name = f"{record.machine.name}/{commit.hash[:8]}-history.json"
            replace(folder / name, json.dumps(_result(record, commit, workloads)))
            facts = folder / record.machine.name / "machine.json"
            replace(facts, json.dumps({**_machine(record.machine), "version": 1}))
    return shown


def _shown(record: Record, workloads: Mapping[str, str]) -> Iterator[tuple[Recorded, str, str]]:
    """Each path of these workloads with each column that it has anything in, and its graph."""
    for name, path in record.paths.items():
        for column in COLUMNS if path.workload == workloads[name] else ():
            if any(isinstance(one, Mapping) and one.get(column) for one in path.cases.values()):
                yield path, column, f"{name}.{QUANTITIES[column].name}"


def _benchmarks(records: Iterable[Record], workloads: Mapping[str, str]) -> dict[str, Any]:
    """asv's list of benchmarks: a graph for each quantity of a hot path, a line for each case."""
    found: dict[str, Any] = {"version": 2}
    for record in sorted(records, key=lambda one: one.date):
        for path, column, graph in _shown(record, workloads):
            quantity = QUANTITIES[column]
            labels = [repr(label) for label in path.cases]
            older = found.get(graph, {}).get("params", [[]])[0]
            found[graph] = {
                "name": graph,
                "code": quantity.meaning,
                "type": quantity.kind,
                "unit": quantity.unit,
                "version": path.workload,
                "params": [list(dict.fromkeys([*older, *labels]))],
                "param_names": ["case"],
            }
    return found


def _result(record: Record, commit: Commit, workloads: Mapping[str, str]) -> dict[str, Any]:
    """asv's file of one commit's results."""
    results: dict[str, Any] = {}
    for path, column, graph in _shown(record, workloads):
        values = [
            one.get(column) if isinstance(one, Mapping) else None for one in path.cases.values()
        ]
        results[graph] = [values, [[repr(label) for label in path.cases]], path.workload]
    machine = record.machine
    return {
        "commit_hash": commit.hash,
        "env_name": "history",
        "date": commit.time_s * 1000,
        "params": {**_machine(machine), "python": machine.python, **machine.packages},
        "python": machine.python,
        "requirements": dict(machine.packages),
        "env_vars": {},
        "result_columns": ["result", "params", "version"],
        "results": results,
        "durations": {},
        "version": 2,
    }


def _machine(machine: Machine) -> dict[str, str]:
    system, _, arch = machine.system.partition(" ")
    return {
        "machine": machine.name,
        "os": system,
        "arch": arch,
        "cpu": machine.processor,
        "num_cpu": str(machine.cores),
        "ram": "",
    }


# --- asv's site


def publish(records: Sequence[Record], root: Path, folder: Path) -> Path:
    """Let asv make its site of `folder`/results, written of these records; returns where it lies.

    Raises `HistoryError` with what asv said.
    """
    config, site = folder / "asv.conf.json", folder / "html"
    settings = {
        "version": 1,
        "project": "optuna-velocity",
        "project_url": "#",
        "repo": str(root),
        "branches": ["HEAD"],
        "benchmark_dir": str(root / "benchmarks"),
        "results_dir": str(folder / "results"),
        "html_dir": str(site),
        "regressions_thresholds": _thresholds(records),
        "regressions_first_commits": {
            rf".*\.{quantity.name}\(": None  # asv looks for none there
            for quantity in QUANTITIES.values()
            if quantity.allowed is None
        },
    }
    replace(config, json.dumps(settings, indent=1) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "asv", "--config", str(config), "publish", "--no-pull"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0 or not (site / "index.json").is_file():
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise HistoryError(f"asv publish failed ({done.returncode}): {' | '.join(said)}")
    return site


def _thresholds(records: Sequence[Record]) -> dict[str, float]:
    """The share by which a line of a graph may step up, by its name; asv takes the largest.

    asv knows shares only, so what is allowed in units is turned into one of each line's least.
    """
    found = {
        rf".*\.{quantity.name}\(": quantity.allowed.share
        for quantity in QUANTITIES.values()
        if quantity.allowed
    }
    workloads = workloads_now(records)
    for record in records:
        for path, column, graph in _shown(record, workloads):
            allowed = QUANTITIES[column].allowed
            if allowed is None or not allowed.units:
                continue
            for label, one in path.cases.items():
                value = one.get(column) if isinstance(one, Mapping) else None
                if value and allowed.units / value > allowed.share:
                    line = re.escape(f"{graph}({label!r})")
                    found[line] = max(found.get(line, 0), allowed.units / value)
    return found


def regressions(site: Path) -> list[Regression]:
    """What asv's step detection found, by the graphs' names."""
    index = json.loads((site / "index.json").read_text(encoding="utf-8"))
    hashes: dict[str, str] = index["revision_to_hash"]
    table = json.loads((site / "regressions.json").read_text(encoding="utf-8"))
    found = []
    for name, _, _, _, last, best, jumps in table["regressions"]:
        if jumps:
            found.append(Regression(name, best, last, hashes[str(jumps[-1][1])]))
    return sorted(found, key=lambda one: one.graph)
