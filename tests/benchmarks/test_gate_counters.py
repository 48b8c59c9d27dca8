"""Exact counts of bodies whose work is known by hand, in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate.counters import _without_values
from benchmarks.gate.strace import prefix, unavailable

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("counting_bodies.py")

Counts = dict[str, dict[str, int]]


def count(python: str, folder: Path, *, strace: bool = False) -> Counts:
    folder.mkdir()
    command = [python, str(SCRIPT), str(folder)]
    if strace:
        log = folder / "fsyncs"
        log.touch()
        command = [*prefix(log), *command, str(log)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts: Counts = json.loads(done.stdout)
    return counts


def python312() -> str | None:
    """An interpreter with `sys.monitoring` that starts; a version manager's shim may not."""
    found = [shutil.which("python3.12"), shutil.which("python3.13")]
    found += sorted(map(str, Path.home().glob(".pyenv/versions/3.1[23]*/bin/python")))
    for name in filter(None, found):
        command = [name, "-c", "import sys, sqlite3; sys.monitoring"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return name
    return None


@pytest.fixture(scope="module", params=["this Python", "sys.monitoring"])
def counts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Counts:
    python: str | None = sys.executable
    if request.param == "sys.monitoring":
        if sys.version_info >= (3, 12):
            pytest.skip("this Python has sys.monitoring itself")
        python = python312()
        if python is None:
            pytest.skip("no Python 3.12 or newer that starts")
    assert python is not None
    folder = tmp_path_factory.mktemp("counts")
    first, second = count(python, folder / "1"), count(python, folder / "2")
    for counted in (first, second):
        del counted["synced_by_threads"]  # how often a thread waits is not its own doing
    assert first == second, "two processes count the same"
    return first


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("nothing", {"statements": 0, "commits": 0, "opens": 0, "steps": 0, "c_calls": 0}),
        ("autocommit", {"statements": 3, "commits": 3, "synchronous": 6}),
        ("explicit", {"statements": 5, "commits": 1, "synchronous": 2}),
        ("implicit", {"statements": 5, "commits": 1}),
        ("rolled_back", {"statements": 3, "commits": 0, "synchronous": 0}),
        ("reading", {"statements": 2, "commits": 0}),
        ("synchronous_full", {"commits": 1, "synchronous": 2}),
        ("synchronous_off", {"commits": 1, "synchronous": 0}),
        ("synchronous_3", {"commits": 1, "synchronous": 3}),
        ("triggered", {"statements": 4}),  # the trigger, and what it does, are work too
        ("new_connection", {"connections": 1, "statements": 0, "opens": 0}),
        ("files", {"opens": 3, "listings": 2, "processes": 0}),
        ("processes", {"processes": 2}),
        ("calls", {"python_calls": 11, "c_calls": 10}),  # calls() itself is one
    ],
)
def test_counts_known_by_hand(counts: Counts, body: str, expected: dict[str, int]) -> None:
    found = counts[body]
    assert {name: found[name] for name in expected} == expected


def test_every_body_has_every_counter(counts: Counts) -> None:
    named = {body: set(found) for body, found in counts.items() if body != "after an error"}
    assert set(map(frozenset, named.values())) == {
        frozenset(
            {
                *("statements", "steps", "commits", "opens", "listings", "processes"),
                *("connections", "synchronous", "bytecodes", "python_calls", "c_calls"),
            }
        )
    }


def test_a_lost_index_shows_in_steps(counts: Counts) -> None:
    assert counts["search"]["statements"] == counts["scan"]["statements"] == 1
    assert counts["scan"]["steps"] > 50 > counts["search"]["steps"] > 0


def test_bytecodes_grow_with_the_work(counts: Counts) -> None:
    nothing, short, long = (
        counts[name]["bytecodes"] for name in ("nothing", "short_loop", "long_loop")
    )
    assert 0 < nothing < short < long
    each = (long - short) / 100  # a round of the loop is the same few instructions
    assert each == int(each)
    assert 3 <= each <= 8


def test_an_error_leaves_no_instrument_behind(counts: Counts) -> None:
    assert counts["after an error"] == {"instruments_off": 1, "repeats": 1}


@pytest.fixture(scope="module")
def fsyncs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    if unavailable():
        pytest.skip("strace is not here, or may not trace")
    folder = tmp_path_factory.mktemp("strace") / "1"
    found = count(sys.executable, folder, strace=True)
    return {body: counts["fsyncs"] for body, counts in found.items() if "fsyncs" in counts}


def test_fsyncs_by_strace(fsyncs: dict[str, int]) -> None:
    assert fsyncs["nothing"] == fsyncs["files"] == fsyncs["calls"] == 0
    assert fsyncs["synced"] == 3
    assert fsyncs["synced_by_threads"] == 10
    assert fsyncs["synchronous_full"] > fsyncs["synchronous_off"] == 0
    assert fsyncs["explicit"] < fsyncs["autocommit"]


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SELECT a1 FROM t2 WHERE x = 3", "SELECT a1 FROM t2 WHERE x = ?"),
        ("SELECT  a\n  FROM t WHERE b = 'it''s 5'", "SELECT a FROM t WHERE b = ?"),
        ("INSERT INTO t VALUES (x'00ff', -1.5e-7, NULL)", "INSERT INTO t VALUES (?, ..., NULL)"),
        ("SELECT 1 WHERE a IN (1,2, 3)", "SELECT ? WHERE a IN (?, ...)"),
        ("COMMIT", "COMMIT"),
    ],
)
def test_a_statement_is_the_same_whatever_its_values(statement: str, shown: str) -> None:
    assert _without_values(statement) == shown
