"""What is stored about each hot path, one JSON file each, and whether it can be used here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from . import files
from .errors import BaselineError
from .repository import Repository


@dataclass(frozen=True)
class Environment:
    """What the numbers depend on besides the code."""

    python: str
    packages: dict[str, str]
    instruments: dict[str, str]  # exact instrument -> its identity; absent where it could not count
    processor: str = ""

    def difference(self, other: Environment, instrument: str = "") -> str:
        """The first thing in which two environments differ, in words; empty if they are equal.

        With `instrument`, what its counts depend on is compared too.
        """
        if self.python != other.python:
            return f"{other.python} instead of {self.python}"
        for name in sorted({*self.packages, *other.packages}):
            mine, theirs = self.packages.get(name, "absent"), other.packages.get(name, "absent")
            if mine != theirs:
                return f"{name} {theirs} instead of {mine}"
        mine, theirs = (e.instruments.get(instrument, "absent") for e in (self, other))
        if instrument and mine != theirs:
            return f"{instrument} counted by {theirs} instead of {mine}"
        return ""


@dataclass(frozen=True)
class Baseline:
    """One hot path's stored state: the code it was measured with, and the numbers."""

    path: str
    tree: str  # hash of the code's tree: what the baseline really is
    commit: str  # a commit that holds it: where to find it
    workload: str
    environment: Environment
    counters: dict[str, dict[str, int]]  # case -> counter -> value
    ratios: dict[str, dict[str, float]]  # case -> before/after: CPU ratio, its interval, wall ratio
    reason: str
    date: str
    history: list[dict[str, str]] = field(default_factory=list)  # what it was moved from, and why


def baseline_file(folder: Path, path: str) -> Path:
    return folder / f"{path}.json"


def read_baseline(file: Path) -> Baseline:
    """The baseline in `file`; `BaselineError` says what is wrong with it."""
    try:
        table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        table["environment"] = Environment(**table["environment"])
        baseline = Baseline(**table)
        for name in ("counters", "ratios"):
            if not isinstance(getattr(baseline, name), dict):
                raise TypeError(f"{name} is no table")
    except (ValueError, TypeError, KeyError) as error:
        raise BaselineError(
            f"{file.name} is not a baseline ({type(error).__name__}: {error}): "
            f"restore it from git, or move it with rebaseline"
        ) from None
    if baseline.path != file.stem:
        raise BaselineError(
            f"{file.name} holds the baseline of {baseline.path}: rename it back, then use "
            f"`velocity-gate rename {baseline.path} {file.stem}`"
        )
    return baseline


def write_baseline(folder: Path, baseline: Baseline) -> Path:
    """Store a baseline; a reader sees the old file or the new one, never a part."""
    target = baseline_file(folder, baseline.path)
    files.replace(target, json.dumps(asdict(baseline), indent=1, sort_keys=True) + "\n")
    return target


def rename(folder: Path, old: str, new: str) -> Path:
    """Give the baseline of `old` to `new`; returns its new file.

    Raises `BaselineError` where there is none, or `new` has one already.
    """
    source, target = baseline_file(folder, old), baseline_file(folder, new)
    if not source.is_file():
        raise BaselineError(f"{old} has no baseline in {folder.name}/")
    if target.exists():
        raise BaselineError(f"{new} has a baseline already: remove one of the two first")
    write_baseline(folder, replace(read_baseline(source), path=new))
    source.unlink()
    return target


def find_baseline(repository: Repository, folder: Path, path: str) -> Baseline | None:
    """The usable baseline of a declared hot path; None if it never had one.

    Raises `BaselineError` where one is missing, damaged, or names code this clone does not hold.
    """
    file = baseline_file(folder, path)
    if not file.is_file():
        _refuse_if_lost(repository, file)
        return None
    baseline = read_baseline(file)
    if repository.holds(f"{baseline.tree}^{{tree}}"):
        return baseline
    what = f"the baseline's code (tree {baseline.tree[:12]} of commit {baseline.commit[:12]})"
    if repository.shallow:
        raise BaselineError(
            f"{what} is out of reach in this shallow clone: run `git fetch --unshallow`"
        )
    raise BaselineError(
        f"{what} is not in this clone (squashed or rebased away?): fetch the commit, "
        f"or move the baseline with rebaseline"
    )


def _refuse_if_lost(repository: Repository, file: Path) -> None:
    name = file.relative_to(repository.root).as_posix()
    if repository.ever_had(name):
        raise BaselineError(
            f"its baseline {name} was removed: restore it from git, or store a new one "
            f"with rebaseline"
        )
    if repository.shallow:
        raise BaselineError(
            f"it has no baseline {name}, and a shallow clone cannot tell whether it had one: "
            f"run `git fetch --unshallow`"
        )


def orphans(folder: Path, declared: set[str]) -> list[str]:
    """Hot paths that have a baseline and are declared no more."""
    return sorted(file.stem for file in folder.glob("*.json") if file.stem not in declared)
