"""`python -m optimizer run` of studies in which no trial is complete: what is told, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import optimizer
from optimizer.study import command

ROOT = Path(optimizer.__file__).parents[1]
SCRIPT = """
def objective(params):
    return VALUE
space = {"x": {"type": "float", "min": -5, "max": 5}}
"""
NOTHING = "no trial is complete\n"


def run(folder: Path, value: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    script = folder / "study.py"
    script.write_text(SCRIPT.replace("VALUE", value), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "optimizer", "run", str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_no_trial_is_complete(tmp_path: Path) -> None:
    arguments = ("--storage", tmp_path / "study.db", "--go-on", "--trials")
    done = run(tmp_path, "1 / 0", *arguments, 3)
    assert done.returncode == command.NO_VALUE
    assert done.stdout.startswith(NOTHING)
    assert "3 trials failed; the last: trial 2 raised ZeroDivisionError" in done.stderr
    assert run(tmp_path, "params['x']", *arguments, 1).returncode == command.DONE
    # All of this run fail: the study has a value, from the run before.
    assert run(tmp_path, "1 / 0", *arguments, 3).returncode == command.DONE


def test_nothing_was_run(tmp_path: Path) -> None:
    done = run(tmp_path, "params['x']", "--timeout", 1e-9)
    assert (done.returncode, done.stderr) == (command.DONE, "")
    assert done.stdout.startswith(NOTHING)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_objective_that_returns_a_text(tmp_path: Path, workers: int) -> None:
    done = run(tmp_path, "'good'", "--trials", 2, "--workers", workers)
    assert done.returncode == command.NO_VALUE
    said = "the objective returned a str, 'good'; expected a number or a sequence of numbers"
    assert done.stderr.endswith(f": {said}\n")
    assert len(done.stderr.splitlines()) == 1
