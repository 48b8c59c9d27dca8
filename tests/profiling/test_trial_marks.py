"""The hook in the study's processes, and what is read from its marks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from script_modules import SCRIPTS, script_module

marks: Any = script_module("_marks")
STUDY = Path(__file__).with_name("marked_study.py")
HOOK = SCRIPTS / "_hook"


def run(
    folder: Path, *words: str, python: str = sys.executable, **more: str
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "VELOCITY_PROFILE_MARKS": str(folder), "PYTHONPATH": str(HOOK), **more}
    return subprocess.run(
        [python, *words], env=environ, capture_output=True, text=True, timeout=60, check=True
    )


@pytest.mark.parametrize(
    "method",
    [
        "forkserver",
        "fork",
        pytest.param("spawn", marks=pytest.mark.stress),  # two more imports of Optuna
    ],
)
def test_trials_of_all_processes_are_marked(method: str, tmp_path: Path) -> None:
    pids = [int(word) for word in run(tmp_path, str(STUDY), method).stdout.split()]
    found = marks.read(tmp_path)
    assert found.troubles == []
    kinds = {process.pid: process.kind for process in found.processes}
    assert kinds[pids[0]] == "main"
    assert [kinds[pid] for pid in pids[1:]] == [method] * (len(pids) - 1)
    own = [(mark.number, mark.state) for mark in found.trials if mark.pid == pids[0]]
    assert own == [(0, "complete"), (1, "pruned"), (2, "fail"), (3, "complete")]
    theirs = [mark for mark in found.trials if mark.pid in pids[1:]]
    assert sorted(mark.number for mark in theirs) == [0, 0, 1, 1]
    for mark in found.trials:
        assert mark.end_ns is not None
        assert mark.start_ns < mark.end_ns


@pytest.mark.parametrize("workers", [1, 2])
def test_trials_of_the_projects_own_engine_are_marked(workers: int, tmp_path: Path) -> None:
    script = tmp_path / "engine.py"
    script.write_text(
        "import optimizer, optuna\n"
        "optuna.logging.set_verbosity(optuna.logging.CRITICAL)\n"
        "def objective(params): return 1 / (params['n'] - 2)\n"
        "space = {'n': {'type': 'int', 'min': 0, 'max': 3}}\n"
        f"options = dict(n_trials=4, workers={workers}, catch=(ZeroDivisionError,))\n"
        "if __name__ == '__main__':\n"
        "    optimizer.optimize(objective, space, **options)\n",
        encoding="utf-8",
    )
    run(tmp_path, str(script), PYTHONPATH=os.pathsep.join([str(HOOK), str(SCRIPTS.parent)]))
    found = marks.read(tmp_path)
    assert found.troubles == []
    assert sorted(mark.number for mark in found.trials) == [0, 1, 2, 3]
    assert sorted(mark.state for mark in found.trials) == ["complete"] * 3 + ["fail"]


def test_the_study_does_not_notice(tmp_path: Path) -> None:
    program = (
        "import sys, os, optuna\n"
        "optuna.logging.disable_default_handler()\n"
        "def objective(trial): raise KeyError(trial.number)\n"
        "print([p for p in sys.path if '_hook' in p])\n"
        "optuna.create_study().optimize(objective, n_trials=1)\n"
    )
    script = tmp_path / "failing.py"
    script.write_text(program, encoding="utf-8")
    outputs = []
    for variables in ({}, {"VELOCITY_PROFILE_MARKS": str(tmp_path), "PYTHONPATH": str(HOOK)}):
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
        done = subprocess.run(
            [sys.executable, str(script)], env=environ, capture_output=True, text=True
        )
        outputs.append((done.returncode, done.stdout, done.stderr))
    assert outputs[0] == outputs[1]
    assert outputs[0][:2] == (1, "[]\n")
    (mark,) = marks.read(tmp_path).trials
    assert mark.state == "fail"


def test_a_sitecustomize_of_the_users_own_still_runs(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("NAME = __name__\nprint('own ran')\n", encoding="utf-8")
    path = os.pathsep.join([str(HOOK), str(own)])
    program = "import sys; m = sys.modules['sitecustomize']; print(m.NAME, m.__file__)"
    done = run(tmp_path, "-c", program, PYTHONPATH=path)
    assert done.stdout.splitlines() == [
        "own ran",
        f"sitecustomize {own / 'sitecustomize.py'}",
    ]
    assert len(marks.read(tmp_path).processes) == 1


def test_a_hook_that_fails_is_told_and_harms_nothing(tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.mkdir()
    text = (HOOK / "sitecustomize.py").read_text(encoding="utf-8")
    (hook / "sitecustomize.py").write_text(text, encoding="utf-8")
    (hook / "_trial_hook.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    assert run(tmp_path, "-c", "print('well')", PYTHONPATH=str(hook)).stdout == "well\n"
    assert marks.read(tmp_path).troubles == ["_trial_hook: RuntimeError: broken"]


def test_a_folder_that_is_gone_harms_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "gone", "-c", "print('well')").stdout == "well\n"


@pytest.mark.parametrize(
    "said",
    [
        "py-spy> Sampling process 200 times a second.",
        "Sampling process 7 200 times a second, unpaused",
    ],
)
def test_only_the_first_process_waits_for_the_sampler(said: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{said}\n", encoding="utf-8")
    program = "import os; print(os.environ.get('VELOCITY_PROFILE_GATE'))"
    done = run(tmp_path, "-c", program, VELOCITY_PROFILE_GATE=str(log))
    assert done.stdout == "None\n"  # what it starts is not held up again
    gone = run(tmp_path, "-c", program, VELOCITY_PROFILE_GATE=str(tmp_path / "none"))
    assert gone.stdout == "None\n"


def write(folder: Path, name: str, *lines: str) -> None:
    (folder / f"{name}.marks").write_text("".join(lines), encoding="utf-8")


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "1-5", "P 5 1 1 0 other 3.11.0\n", "S 6 1 1 0 0\n", "E 9 1 1 0 comp")
    found = marks.read(tmp_path)
    (trial,) = found.trials
    assert (trial.state, trial.end_ns) == ("running", None)
    (process,) = found.processes
    assert (process.kind, process.end_ns) == ("main", None)


def test_a_trial_may_be_told_by_another_process(tmp_path: Path) -> None:
    write(tmp_path, "1-5", "P 5 1 1 0 other 3.11.0\n", "S 6 1 1 4 0\n", "X 50 1\n")
    write(tmp_path, "2-7", "P 7 2 2 1 spawn 3.11.0\n", "E 30 2 0 4 complete\n", "! oh\n")
    found = marks.read(tmp_path)
    (trial,) = found.trials
    assert (trial.pid, trial.number, trial.end_ns, trial.state) == (1, 4, 30, "complete")
    assert found.troubles == ["process 2: oh"]
    assert [process.end_ns for process in found.processes] == [50, None]
    (told,) = found.model_trials(5)
    assert (told.start_s, told.end_s) == pytest.approx((1e-9, 25e-9))


def test_the_end_of_another_study_ends_no_trial_of_this(tmp_path: Path) -> None:
    write(tmp_path, "1-5", "P 5 1 1 0 other 3.11.0\n", "S 6 1 1 4 7\n", "S 7 1 2 4 8\n")
    write(tmp_path, "2-7", "P 7 2 2 1 spawn 3.11.0\n", "E 30 2 0 4 complete 8\n")
    first, second = marks.read(tmp_path).trials
    assert (first.study, first.end_ns) == ("7", None)
    assert (second.study, second.end_ns) == ("8", 30)


def test_a_second_end_of_a_trial_ends_no_other(tmp_path: Path) -> None:
    lines = ["P 5 1 1 0 other 3.11.0\n", "S 6 1 1 4 7\n", "E 8 1 1 4 complete 7\n"]
    write(tmp_path, "1-5", *lines, "S 9 1 2 4 8\n", "E 10 1 0 4 complete 7\n")
    assert [mark.end_ns for mark in marks.read(tmp_path).trials] == [8, None]


def test_marks_until_a_moment() -> None:
    mark = marks.TrialMark
    trials = [
        mark(1, 0, "0", 7, 7, 10, 20, "complete"),
        mark(2, 1, "0", 7, 7, 30, 90, "complete"),
        mark(3, 2, "0", 7, 7, 60, 95, "complete"),
    ]
    comp = marks.Marks([], trials).until(50)
    assert [(one.end_ns, one.state) for one in comp.trials] == [(20, "complete"), (None, "running")]
