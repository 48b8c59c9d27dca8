"""What a report says its findings were made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_project import GitProject

from benchmarks.gate.baselines import Baseline, Environment
from benchmarks.gate.evidence import evidence
from benchmarks.gate.judge import Finding
from benchmarks.gate.outcome import Outcome, SecondLook
from benchmarks.gate.project import Project
from benchmarks.gate.repository import Repository
from benchmarks.gate.rules import Paired, Verdict

WORSE, WELL, FAILED = ("a.Path", "n=1"), ("a.Path", "n=2"), ("a.Path", "n=3")
FINDINGS = [
    Finding(*WORSE, "bytecodes", Verdict.WORSE, "more bytecodes", 1),
    Finding(*WELL, "bytecodes", Verdict.SAME),
    Finding(*FAILED, "run", Verdict.FAILED, "it raised", 2),
]


def _baseline(commit: str) -> Baseline:
    environment = Environment("cpython 3.11.7", {}, {})
    return Baseline("a.Path", "t" * 40, commit, "w", environment, {}, {}, "first", "2024-05-17")


@pytest.fixture
def made(tmp_path: Path) -> GitProject:
    project = GitProject.create(tmp_path / "project")
    project.commit({"pkg/a.py": "1"})
    return project


def _project(made: GitProject) -> Project:
    return Project(made.root, "pkg", "suite", "suite:load", "baselines")


def test_what_grew_is_told_of_regressions_only(made: GitProject) -> None:
    look = SecondLook(details_before={"functions": {"f": 1}}, details_now={"functions": {"f": 9}})
    outcomes = {key: Outcome(again=look) for key in (WORSE, WELL, FAILED)}
    found = evidence(Repository(made.root), _project(made), {}, outcomes, FINDINGS)
    assert found["grew"] == {"a.Path[n=1]": {"functions": [("f", 1, 9)]}}


def test_the_pairs_of_each_stage(made: GitProject) -> None:
    pairs = Paired((0.0, 0.1), ((1.0, 1.0), (1.1, 1.0)))
    outcomes = {WELL: Outcome(first=pairs, wall=(1.5,)), WORSE: Outcome(second=pairs)}
    found = evidence(Repository(made.root), _project(made), {}, outcomes, FINDINGS)
    samples = [[1.0, 1.0], [1.1, 1.0]]
    assert found["pairs"] == {
        "a.Path[n=2]": {"first": samples, "wall": [1.5]},
        "a.Path[n=1]": {"second": samples},
    }


def test_what_is_not_committed(made: GitProject) -> None:
    (made.root / "pkg" / "a.py").write_text("2", encoding="utf-8")
    (made.root / "other.py").write_text("2", encoding="utf-8")
    found = evidence(Repository(made.root), _project(made), {}, {}, [])
    assert found["uncommitted"] == ["pkg/a.py"]


def test_the_commits_since_a_baseline(made: GitProject, tmp_path: Path) -> None:
    first = made.git("rev-parse", "HEAD")
    made.commit({"other.py": "1"}, "not the code")
    second = made.commit({"pkg/a.py": "2"}, "the code")
    baselines = {"a.Path": _baseline(first), "b.Path": _baseline(second)}
    described = evidence(Repository(made.root), _project(made), baselines, {}, [])["baselines"]
    assert [commit["subject"] for commit in described["a.Path"]["commits"]] == ["the code"]
    assert described["b.Path"]["commits"] == []
    shallow = made.clone(tmp_path / "shallow", "--depth=1")
    there = evidence(Repository(shallow.root), _project(shallow), baselines, {}, [])["baselines"]
    assert there["a.Path"]["commits"] is None  # not: no commit
    assert there["b.Path"]["commits"] == []
