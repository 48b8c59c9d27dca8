"""Stored baselines: written whole, read back, and refused where they cannot be used."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from git_project import GitProject

from benchmarks.gate.baselines import (
    Baseline,
    Environment,
    baseline_file,
    find_baseline,
    orphans,
    read_baseline,
    rename,
    write_baseline,
)
from benchmarks.gate.errors import BaselineError
from benchmarks.gate.repository import Repository

HERE = Environment(
    "cpython 3.11", {"numpy": "2.4.0", "sqlite": "3.40.1"}, {"counters": "1 settrace"}
)
PATH = "toy.Rows"
FOLDER = "suite/baselines"


def baseline(tree: str = "a" * 40, commit: str = "b" * 40) -> Baseline:
    return Baseline(
        path=PATH,
        tree=tree,
        commit=commit,
        workload="0123456789abcdef",
        environment=HERE,
        counters={"n=100": {"statements": 5, "bytecodes": 1234}},
        ratios={"n=100": {"cpu": 12.5, "low": 12.0, "high": 13.0}},
        reason='first, with "quotes" and µ',
        date="2024-05-17",
        history=[{"tree": "c" * 40, "commit": "d" * 40, "reason": "older", "date": "2024-01-01"}],
    )


# --- files


def test_round_trip(tmp_path: Path) -> None:
    file = write_baseline(tmp_path / "not there yet", baseline())
    assert file == baseline_file(tmp_path / "not there yet", PATH)
    assert file.name == "toy.Rows.json"
    assert read_baseline(file) == baseline()
    assert file.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_the_text_is_stable_and_ends_in_a_newline(tmp_path: Path) -> None:
    text = write_baseline(tmp_path, baseline()).read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert write_baseline(tmp_path, read_baseline(tmp_path / "toy.Rows.json")).read_text() == text


class Stop(BaseException):
    """An interruption at a chosen moment."""


@pytest.mark.parametrize("moment", ["fsync", "chmod", "replace"])
def test_an_interrupted_write_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    file = write_baseline(tmp_path, baseline())

    def stop(*arguments: Any) -> None:
        raise Stop

    monkeypatch.setattr(os, moment, stop)
    with pytest.raises(Stop):
        write_baseline(tmp_path, replace(baseline(), reason="second"))
    monkeypatch.undo()
    assert read_baseline(file) == baseline()
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


WHOLE = json.dumps(
    {
        "path": PATH,
        "tree": "a",
        "commit": "b",
        "workload": "w",
        "environment": {"python": "p", "packages": {}, "instruments": {}},
        "counters": {},
        "ratios": {},
        "reason": "r",
        "date": "d",
    }
)


def test_history_may_be_absent(tmp_path: Path) -> None:
    file = tmp_path / f"{PATH}.json"
    file.write_text(WHOLE)
    assert read_baseline(file).history == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        WHOLE[:-20],  # cut off
        "<<<<<<< HEAD\n" + WHOLE,  # an unresolved merge
        "[]",
        "null",
        "3",
        WHOLE.replace('"tree": "a", ', ""),
        WHOLE.replace('"tree": "a"', '"tree": "a", "colour": "red"'),
        WHOLE.replace('"instruments": {}', '"instruments": {}, "more": 2'),
        WHOLE.replace('{"python": "p", "packages": {}, "instruments": {}}', '"here"'),
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / f"{PATH}.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BaselineError, match=r"toy\.Rows\.json is not a baseline .*rebaseline"):
        read_baseline(file)


def test_a_renamed_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "toy.Other.json"
    file.write_text(WHOLE)
    with pytest.raises(BaselineError, match=re.escape("holds the baseline of toy.Rows")):
        read_baseline(file)


def test_a_baseline_follows_a_new_name(tmp_path: Path) -> None:
    write_baseline(tmp_path, baseline())
    file = rename(tmp_path, PATH, "toy.Lines")
    assert [entry.name for entry in tmp_path.iterdir()] == ["toy.Lines.json"]
    assert read_baseline(file) == replace(baseline(), path="toy.Lines")
    with pytest.raises(BaselineError, match=re.escape("toy.Rows has no baseline")):
        rename(tmp_path, PATH, "toy.Other")
    write_baseline(tmp_path, baseline())
    with pytest.raises(BaselineError, match=re.escape("toy.Lines has a baseline already")):
        rename(tmp_path, PATH, "toy.Lines")


def test_orphans(tmp_path: Path) -> None:
    assert orphans(tmp_path / "nowhere", {"a.A"}) == []
    for name in ("b.B", "a.A", "c.C"):
        (tmp_path / f"{name}.json").write_text("")
    (tmp_path / ".unfinished-1").write_text("")
    assert orphans(tmp_path, {"b.B", "d.D"}) == ["a.A", "c.C"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (HERE, ""),
        (replace(HERE, python="cpython 3.12"), "cpython 3.12 instead of cpython 3.11"),
        (replace(HERE, processor="another"), ""),  # counts do not depend on it by themselves
        (
            replace(HERE, instruments={"counters": "2 settrace"}),
            "counters counted by 2 settrace instead of 1 settrace",
        ),
        (replace(HERE, instruments={}), "counters counted by absent instead of 1 settrace"),
        (replace(HERE, instruments={**HERE.instruments, "memory": "memray 1"}), ""),
        (
            replace(HERE, packages={"numpy": "2.5.0", "sqlite": "3.40.1"}),
            "numpy 2.5.0 instead of 2.4.0",
        ),
        (replace(HERE, packages={"sqlite": "3.40.1"}), "numpy absent instead of 2.4.0"),
        (
            replace(HERE, packages={**HERE.packages, "orjson": "3.11"}),
            "orjson 3.11 instead of absent",
        ),
    ],
)
def test_how_environments_differ(other: Environment, words: str) -> None:
    assert HERE.difference(other, "counters") == words


# --- in a repository


@pytest.fixture
def project(tmp_path: Path) -> GitProject:
    """Two commits of code, and a baseline of the first."""
    made = GitProject.create(tmp_path / "project")
    first = made.commit({"code/__init__.py": "A = 1\n"}, "first")
    write_baseline(made.root / FOLDER, baseline(made.git("rev-parse", "HEAD:code"), first))
    made.commit({"code/__init__.py": "A = 2\n"}, "second")
    return made


def find(project: GitProject, path: str = PATH) -> Baseline | None:
    return find_baseline(Repository(project.root), project.root / FOLDER, path)


def test_a_usable_baseline_is_found(project: GitProject) -> None:
    found = find(project)
    assert found is not None
    assert found.environment == HERE


def test_a_path_that_never_had_one_is_new(project: GitProject) -> None:
    assert find(project, "toy.New") is None


@pytest.mark.parametrize("committed", [False, True])
def test_a_removed_baseline(project: GitProject, committed: bool) -> None:
    baseline_file(project.root / FOLDER, PATH).unlink()
    if committed:
        project.commit({}, "removed")
    with pytest.raises(BaselineError, match="was removed: restore it from git"):
        find(project)


def test_a_shallow_clone_says_what_to_do(project: GitProject, tmp_path: Path) -> None:
    cut = project.clone(tmp_path / "cut", "--depth", "1")
    with pytest.raises(BaselineError, match="run `git fetch --unshallow`"):
        find(cut)
    with pytest.raises(BaselineError, match="run `git fetch --unshallow`"):
        find(cut, "toy.New")
    cut.git("fetch", "--quiet", "--unshallow")
    assert find(cut) == find(project)
    assert find(cut, "toy.New") is None


def test_a_shallow_clone_that_holds_the_tree_will_do(project: GitProject, tmp_path: Path) -> None:
    project.commit({"code/__init__.py": "A = 1\n"}, "the first state again")
    cut = project.clone(tmp_path / "cut", "--depth", "1")
    assert find(cut) == find(project)


def squash(project: GitProject) -> None:
    """One commit in place of the history, as a squashed merge leaves it."""
    tree = project.git("rev-parse", "HEAD^{tree}")
    project.git("reset", "--hard", "--quiet", project.git("commit-tree", tree, "-m", "squashed"))


def test_a_squashed_commit_whose_tree_is_still_there(project: GitProject, tmp_path: Path) -> None:
    project.commit({"code/__init__.py": "A = 1\n"}, "the first state again")
    squash(project)
    clone = project.clone(tmp_path / "clone")  # holds only what is reachable
    found = find(clone)
    assert found is not None
    assert not Repository(clone.root).holds(found.commit)


def test_a_squashed_commit_whose_tree_is_gone(project: GitProject, tmp_path: Path) -> None:
    squash(project)
    clone = project.clone(tmp_path / "clone")
    with pytest.raises(BaselineError, match="squashed or rebased away"):
        find(clone)


def test_a_damaged_baseline_is_refused_before_git_is_asked(project: GitProject) -> None:
    shutil.copy(project.root / FOLDER / f"{PATH}.json", project.root / FOLDER / "toy.New.json")
    with pytest.raises(BaselineError, match="rename it"):
        find(project, "toy.New")
