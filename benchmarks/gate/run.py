"""One run of the gate: stage both sides, measure, judge."""

from __future__ import annotations

import datetime
import re
import sqlite3
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from . import instruments, judge
from .baselines import Baseline, Environment, find_baseline, orphans
from .claims import Described
from .errors import BaseLacksError, GateError, NotMeasuredError, UsageError
from .evidence import evidence
from .files import hide
from .harness import BASE, HEAD, Side, WorkerProcess
from .judge import Finding
from .measuring import Measurement, keys_of
from .outcome import Outcome, Outcomes, Progress
from .own import source_hash, stage_itself
from .project import Project
from .reach import Reach
from .report import Report
from .repository import Repository, sweep_stages
from .rules import CAREFUL, CpuRule, Verdict


@dataclass
class Run:
    """A run over the selected hot paths of a project's working tree."""

    project: Project
    names: Sequence[str] = ()
    rule: CpuRule = CAREFUL
    progress: Progress = field(default=lambda line: None)
    every: bool = False  # instructions and claims of paths that no change can reach, too
    changed: bool = False  # only the hot paths that a change can reach
    against: str = ""  # a commit to compare with, instead of the stored baselines
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repository = Repository(self.project.root)
        self.outcomes: Outcomes = {}
        self.baselines: dict[str, Baseline] = {}
        self._reaches: dict[Path, Reach] = {}
        self._found: list[Finding] = []
        self._exempt: list[str] = []

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
        project = self.project
        stage = self.repository.stage(tree, project.code, project.scratch_dir)
        holder = (stage / project.code).parent
        return Side(
            name=name,
            package=project.package,
            stage=holder,
            suite_stage=self._suite_stage,
            loader=project.loader,
            home=stage_itself(project.scratch_dir),
            suite=project.suite,
        )

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
        if not self.against:
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
        """What the numbers depend on here."""
        packages = _needed(_requirements(self.project.root), self._description["packages"])
        packages["sqlite"] = sqlite3.sqlite_version
        identities = {
            str(kind): instruments.identity(kind)
            for kind in instruments.Kind
            if not instruments.unavailable(kind)
        }
        description = self._description
        return Environment(description["python"], packages, identities, description["processor"])

    # --- the run

    def judge(self) -> Report:
        """Measure everything that was asked for and say how it stands."""
        started = time.monotonic()
        hide(self.project.scratch_dir)
        findings = self._found = self._findings()
        facts = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": self.repository.head,
            "tree": self.tree,
            "gate": source_hash(),
            "environment": asdict(self.environment),
            "rule": asdict(self.rule),
            "seconds": round(time.monotonic() - started, 1),
        }
        sweep_stages(self.project.scratch_dir)
        return Report(findings, self.notes, facts, self._exempt, self._evidence())

    def _findings(self) -> list[Finding]:
        findings = self._read_baselines()
        if not self.declared and not findings:
            raise NotMeasuredError(f"{self.project.suite}/ declares no hot path")
        self._take_notes()
        left_out = self._left_out()
        paths = [path for path in self.selected if path["name"] not in left_out]
        judged = [path for path in paths if path["name"] in self.baselines]
        fresh = [path for path in paths if path["name"] not in self.baselines]
        self.outcomes = {key: Outcome() for path in paths for key in keys_of(path)}
        measurement = Measurement(
            head=self.head,
            base=lambda baseline: self.side(BASE, baseline.tree),
            judged=judged,
            fresh=fresh,
            baselines=self.baselines,
            environment=self.environment,
            reached=self._reached,
            rule=self.rule,
            outcomes=self.outcomes,
            progress=self.progress,
            every=self.every,
            notes=self.notes,
            exempt=self._exempt,
        )
        measurement.run()
        self._note_processes(paths)
        failed = {finding.path for finding in findings}
        for path in paths:
            findings += self._judge_path(measurement, path, new=path["name"] not in failed)
        findings += [Finding(name, "", "code", Verdict.UNCHANGED) for name in sorted(left_out)]
        self._note_improvements(findings)
        if all(finding.verdict is Verdict.SKIPPED for finding in findings):
            raise NotMeasuredError("the suite skips every case that was asked for")
        return findings

    def _take_notes(self) -> None:
        """What the suite says, unless it is about a hot path that was not asked for."""
        others = {p["name"] for p in self.declared} - {p["name"] for p in self.selected}
        notes: list[str] = self._description["notes"]
        self.notes += [note for note in notes if note.partition(":")[0] not in others]

    def _read_baselines(self) -> list[Finding]:
        if self.against:
            commit = self.repository.commit(self.against)
            tree = self.repository.subtree(commit, self.project.code)
            if tree == self.tree:
                self.notes.append(f"the code is that of {self.against}: nothing differs")
            self.baselines = {
                path["name"]: self._ad_hoc(path, commit, tree) for path in self.selected
            }
            return []
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

    def _ad_hoc(self, path: Described, commit: str, tree: str) -> Baseline:
        """A baseline of which nothing is stored: both sides are counted here."""
        date = self.repository.date(commit)
        return Baseline(
            path["name"], tree, commit, path["workload"], self.environment, {}, {}, "", date
        )

    def _left_out(self) -> set[str]:
        """With `changed`: hot paths of which no file differs from the baseline's."""
        if not self.changed:
            return set()
        return {
            path["name"]
            for path in self.selected
            if path["name"] in self.baselines
            and self.baselines[path["name"]].workload == path["workload"]
            and not self._reached(path)
        }

    def _reached(self, path: Described) -> bool:
        """Whether the hot path can import a file that differs from its baseline's code."""
        baseline = self.baselines[path["name"]]
        if baseline.workload != path["workload"]:
            return True
        if baseline.tree == self.tree or not self.project.graph:
            return baseline.tree != self.tree
        before = self.side(BASE, baseline.tree).stage
        if before not in self._reaches:
            self._reaches[before] = Reach(before, self.head.stage, self.project.package)
        suite = self._suite_stage / self.project.suite
        return self._reaches[before].reaches(suite / path["source"], suite.parent)

    def _judge_path(self, measurement: Measurement, path: Described, *, new: bool) -> list[Finding]:
        name = path["name"]
        findings: list[Finding] = []
        baseline = self.baselines.get(name)
        for case in path["cases"]:
            key = (name, case["label"])
            outcome = self.outcomes[key]
            if outcome.skipped == {HEAD, BASE}:
                findings.append(Finding(*key, "run", Verdict.SKIPPED))
                continue
            if self.against and isinstance(outcome.error, BaseLacksError):
                findings.append(Finding(*key, "baseline", Verdict.NEW))
                continue
            if outcome.error is not None:
                findings.append(judge.failure(*key, outcome.error))
                continue
            findings += judge.judge_agreement(*key, outcome)
            if baseline is None:
                continue
            exempt = {line.partition(":")[0] for line in self._exempt}
            findings += judge.judge_counters(*key, outcome)
            findings += judge.judge_cpu(*key, outcome, self.rule, baseline)
            findings += judge.judge_wall(*key, outcome)
            floor = measurement.claims.floor(path, case)
            findings += judge.judge_claim(*key, outcome, floor, case["cpu_floor"])
            findings += judge.missing(name, case, path["witnesses"], outcome, exempt)
        if baseline is None:
            return findings + (self._say_new(path) if new else [])
        return findings if self.against else findings + judge.lost_cases(path, baseline)

    def _note_improvements(self, findings: Sequence[Finding]) -> None:
        """Ask for a baseline that keeps what was won."""
        faster = {f.path for f in findings if f.witness == "cpu" and f.verdict is Verdict.BETTER}
        for name in sorted(faster - {f.path for f in findings if f.code}):
            if not self.against:
                self.notes.append(
                    f'{name} is faster: keep it with `rebaseline {name} --reason "..."`'
                )

    def _note_processes(self, paths: Sequence[Described]) -> None:
        """Name the hot paths whose children do work that nobody counts."""
        starting = [
            path["name"]
            for path in paths
            if path["clock"] != "tree"
            and any(self.outcomes[key].counters.get("processes") for key in keys_of(path))
        ]
        if starting:
            self.notes.append(
                f"processes are started whose work is not measured, and which may import another "
                f"copy of the code: {', '.join(starting)}"
            )

    def _say_new(self, path: Described) -> list[Finding]:
        name = path["name"]
        labels = [case["label"] for case in path["cases"]]
        good = [label for label in labels if self.outcomes[name, label].error is None]
        if good:
            self.notes.append(f'{name} is new: store it with `rebaseline {name} --reason "..."`')
        return [Finding(name, label, "baseline", Verdict.NEW) for label in good]

    def _evidence(self) -> dict[str, Any]:
        """What the findings were made of, for the pages people look at."""
        return evidence(self.repository, self.project, self.baselines, self.outcomes, self._found)


def _requirements(root: Path) -> set[str]:
    """The packages the project declares."""
    file = root / "pyproject.toml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    table = tomllib.loads(text).get("project", {})
    extras: dict[str, list[str]] = table.get("optional-dependencies", {})
    lines = list(table.get("dependencies", []))
    for extra in extras.values():
        lines += extra
    return set(map(_name, lines))


def _needed(wanted: set[str], installed: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Versions of `wanted` and of all that they need: what counts may depend on."""
    by_name = {_name(name): (name, package) for name, package in installed.items()}
    waiting, found = sorted(wanted), dict[str, str]()
    while waiting:
        name, package = by_name.get(waiting.pop(), ("", {}))
        if name and name not in found:
            found[name] = package["version"]
            needed = (line for line in package["requires"] if "extra" not in line.partition(";")[2])
            waiting += map(_name, needed)
    return dict(sorted(found.items()))


def _name(requirement: str) -> str:
    """A requirement's package, spelled as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]).lower()
