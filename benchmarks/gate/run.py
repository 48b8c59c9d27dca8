"""One run of the gate: stage both sides, measure, judge."""

from __future__ import annotations

import datetime
import re
import sqlite3
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from . import counters, judge
from .baselines import Baseline, Environment, find_baseline, orphans
from .errors import GateError, NotMeasuredError, UsageError
from .harness import BASE, HEAD, Side, WorkerProcess, fsyncs_can_be_counted
from .judge import Finding
from .measure import Key, Lanes, Outcome, Outcomes, PairedCpu, Progress, count_again, exact
from .project import Project
from .report import Report
from .repository import Repository, sweep_stages
from .rules import CAREFUL, CpuRule, Verdict, counter_increased

Described = dict[str, Any]  # one hot path, as a worker describes it


@dataclass
class Run:
    """A run over the selected hot paths of a project's working tree."""

    project: Project
    names: Sequence[str] = ()
    rule: CpuRule = CAREFUL
    progress: Progress = field(default=lambda line: None)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repository = Repository(self.project.root)
        self.outcomes: Outcomes = {}
        self.baselines: dict[str, Baseline] = {}

    # --- what is compared

    @cached_property
    def tree(self) -> str:
        """Hash of the working tree's code."""
        return self.repository.subtree(self._snapshot, self.project.code)

    @cached_property
    def _snapshot(self) -> str:
        return self.repository.snapshot(self.project.code, self.project.suite)

    @cached_property
    def _suite_stage(self) -> Path:
        suite = self.repository.subtree(self._snapshot, self.project.suite)
        return self.repository.stage(suite, self.project.suite, self.project.scratch_dir)

    def side(self, name: str, tree: str) -> Side:
        """The staged code of `tree`, driven by the working tree's suite."""
        stage = self.repository.stage(tree, self.project.code, self.project.scratch_dir)
        code, loader = self.project.code, self.project.loader
        return Side(name, code, stage, self._suite_stage, loader)

    @cached_property
    def head(self) -> Side:
        return self.side(HEAD, self.tree)

    @cached_property
    def _description(self) -> dict[str, Any]:
        with WorkerProcess(self.head) as worker:
            return worker.description | worker.ask("environment")

    @cached_property
    def declared(self) -> list[Described]:
        """Every hot path the suite declares."""
        paths: list[Described] = self._description["paths"]
        return paths

    @cached_property
    def selected(self) -> list[Described]:
        """The hot paths asked for: all, or those a name is the whole or the beginning of."""
        if not self.names:
            return self.declared
        known = {path["name"] for path in self.declared}
        known |= set(orphans(self.project.baseline_dir, known))
        for name in self.names:
            if not any(other == name or other.startswith(name + ".") for other in known):
                raise UsageError(f"no hot path {name}; there are: {', '.join(sorted(known))}")
        return [path for path in self.declared if self._asked_for(path["name"])]

    def _asked_for(self, path: str) -> bool:
        return not self.names or any(
            path == name or path.startswith(name + ".") for name in self.names
        )

    @cached_property
    def environment(self) -> Environment:
        """What exact counters depend on here."""
        versions: dict[str, str] = self._description["packages"]
        wanted = _requirements(self.project.root)
        packages = {name: v for name, v in versions.items() if name.lower() in wanted}
        packages["sqlite"] = sqlite3.sqlite_version
        how = "monitoring" if sys.version_info >= (3, 12) else "settrace"
        return Environment(self._description["python"], packages, f"{counters.VERSION} {how}")

    # --- the run

    def judge(self) -> Report:
        """Measure everything that was asked for and say how it stands."""
        started = time.monotonic()
        findings = self._findings()
        facts = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": self.repository.head,
            "tree": self.tree,
            "environment": asdict(self.environment),
            "rule": asdict(self.rule),
            "seconds": round(time.monotonic() - started, 1),
        }
        sweep_stages(self.project.scratch_dir)
        return Report(findings, self.notes, facts)

    def _findings(self) -> list[Finding]:
        findings = self._read_baselines()
        if not self.declared and not findings:
            raise NotMeasuredError(f"{self.project.suite}/ declares no hot path")
        judged = [path for path in self.selected if path["name"] in self.baselines]
        fresh = [path for path in self.selected if path["name"] not in self.baselines]
        self.outcomes = {key: Outcome() for path in self.selected for key in _keys(path)}
        self._measure(judged, fresh)
        again = count_again(self.head, self._increased(judged))
        failed = {finding.path for finding in findings}
        for path in self.selected:
            findings += self._judge_path(path, again, new=path["name"] not in failed)
        return findings

    def _read_baselines(self) -> list[Finding]:
        findings = []
        for path in self.selected:
            try:
                found = find_baseline(self.repository, self.project.baseline_dir, path["name"])
            except GateError as error:
                findings.append(judge.failure(path["name"], "", error))
            else:
                if found is not None:
                    self.baselines[path["name"]] = found
        declared = {path["name"] for path in self.declared}
        for name in orphans(self.project.baseline_dir, declared):
            if self._asked_for(name):
                findings.append(judge.orphan(name))
        return findings

    def _measure(self, judged: Sequence[Described], fresh: Sequence[Described]) -> None:
        """Exact counts beside the pairs; whatever ends one of them ends both."""
        lanes = Lanes()
        self.progress("exact counters and agreement, beside the CPU time")
        with ThreadPoolExecutor(max_workers=1) as pool:
            try:
                counting = pool.submit(self._exact, judged, fresh, lanes)
                self._cpu(judged)
                counting.result()
            except BaseException:
                lanes.stop()
                raise

    def _exact(self, judged: Sequence[Described], fresh: Sequence[Described], lanes: Lanes) -> None:
        here: dict[Side, list[Key]] = {}
        recounted: dict[str, list[str]] = {}  # reason -> hot paths
        for path in judged:
            baseline = self.baselines[path["name"]]
            reason = self._why_not_stored(path, baseline)
            keys = _keys(path, "counted")
            if reason:
                recounted.setdefault(reason, []).append(path["name"])
                here.setdefault(self._base(baseline), []).extend(keys)
                continue
            for key in keys:
                self.outcomes[key].base_counters = baseline.counters.get(key[1], {})
        for reason, names in recounted.items():
            self.notes.append(f"counters of both sides counted here ({reason}): {', '.join(names)}")
        paths = [*judged, *fresh]
        counted = [key for path in paths for key in _keys(path, "counted")]
        compared = [key for path in paths for key in _keys(path, "compared")]
        exact(self.head, here, counted, compared, self.outcomes, lanes)
        if not fsyncs_can_be_counted():
            self.notes.append("fsyncs are not counted: strace is not here or may not trace")

    def _why_not_stored(self, path: Described, baseline: Baseline) -> str:
        """Why the stored counters cannot be used for a path; empty if they can."""
        difference = baseline.environment.difference(self.environment)
        if difference:
            return difference
        if baseline.workload != path["workload"]:
            return "the workload changed since its baseline"
        if {case["label"] for case in path["cases"] if case["counted"]} - set(baseline.counters):
            return "a case is new"
        if fsyncs_can_be_counted() and not all("fsyncs" in c for c in baseline.counters.values()):
            return "its baseline was stored without fsyncs"
        return ""

    def _base(self, baseline: Baseline) -> Side:
        return self.side(BASE, baseline.tree)

    def _cpu(self, judged: Sequence[Described]) -> None:
        groups: dict[Side, list[Key]] = {}
        for path in judged:
            base = self._base(self.baselines[path["name"]])
            groups.setdefault(base, []).extend(_keys(path, "timed"))
        if not groups:
            return
        pairs = PairedCpu(self.head, self.outcomes, self.progress)
        pairs.measure(groups, self.rule.first_pairs, "first")
        suspects = {
            base: found
            for base, keys in groups.items()
            if (found := [key for key in keys if self._suspect(key)])
        }
        if suspects:
            names = ", ".join(
                f"{path}[{case}]" for keys in suspects.values() for path, case in keys
            )
            self.progress(f"a second look at {names}")
            rule = self.rule
            pairs.measure(suspects, rule.second_pairs, "second", lambda p: p.cleared(rule))

    def _suspect(self, key: Key) -> bool:
        first = self.outcomes[key].first
        return first is not None and first.suspect(self.rule)

    def _increased(self, judged: Sequence[Described]) -> list[Key]:
        def grew(outcome: Outcome) -> bool:
            return any(
                counter_increased(name, outcome.base_counters[name], value)
                for name, value in outcome.counters.items()
                if name in outcome.base_counters
            )

        keys = [key for path in judged for key in _keys(path, "counted")]
        return [key for key in keys if grew(self.outcomes[key])]

    def _judge_path(self, path: Described, again: Outcomes, *, new: bool) -> list[Finding]:
        name, findings = path["name"], []
        baseline = self.baselines.get(name)
        for case in path["cases"]:
            key = (name, case["label"])
            outcome = self.outcomes[key]
            if outcome.error is not None:
                findings.append(judge.failure(*key, outcome.error))
                continue
            findings += judge.judge_agreement(*key, outcome)
            if baseline is not None:
                confirmation = again[key].counters if key in again else None
                findings += judge.judge_counters(
                    *key, outcome.base_counters, outcome.counters, confirmation
                )
                findings += judge.judge_cpu(*key, outcome, self.rule, baseline)
                findings += judge.missing(name, case, path["witnesses"], outcome)
        if baseline is not None:
            findings += judge.lost_cases(path, baseline)
        elif new:
            findings += self._say_new(path)
        return findings

    def _say_new(self, path: Described) -> list[Finding]:
        name = path["name"]
        labels = [case["label"] for case in path["cases"]]
        good = [label for label in labels if self.outcomes[name, label].error is None]
        if good:
            self.notes.append(f'{name} is new: store it with `rebaseline {name} --reason "..."`')
        return [Finding(name, label, "baseline", Verdict.NEW) for label in good]


def _keys(path: Described, field: str | None = None) -> list[Key]:
    return [(path["name"], case["label"]) for case in path["cases"] if field is None or case[field]]


def _requirements(root: Path) -> set[str]:
    """Names of the packages the project declares, whose versions counters depend on."""
    with (root / "pyproject.toml").open("rb") as stream:
        table = tomllib.load(stream).get("project", {})
    extras: dict[str, list[str]] = table.get("optional-dependencies", {})
    lines = list(table.get("dependencies", []))
    for extra in extras.values():
        lines += extra
    return {re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0].lower() for line in lines}
