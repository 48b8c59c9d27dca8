"""From a whole capture to the profile: what was seen, what was not, and what is said of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from script_modules import SCRIPTS, script_module
from test_samples_and_clock import F, speedscope, tick

clock: Any = script_module("_clock")
marks: Any = script_module("_marks")
time_profile: Any = script_module("_time_profile")
study_time: Any = script_module("study_time")
py_spy: Any = script_module("_py_spy")
ORIGIN_NS, S = 9 * 10**9, 10**9
needs_py_spy = pytest.mark.skipif(
    py_spy.find_py_spy(sys.executable, os.environ.get("PATH")) is None,
    reason="py-spy is not installed",
)


def mark(number: int, start_s: float, end_s: float | None) -> Any:
    end_ns = None if end_s is None else ORIGIN_NS + int(end_s * S)
    state = "running" if end_s is None else "complete"
    start_ns = ORIGIN_NS + int(start_s * S)
    return marks.TrialMark(number + 1, number, "0", 7, 7, start_ns, end_ns, state)


def capture(path: Path, **more: Any) -> Any:
    """Half a second of samples of a study that took 100."""
    rounds = [tick(9, 10 * n) for n in range(25)]
    file = speedscope(path / "x", (7, 7, [[F]] * 25), (8, 8, rounds))
    processes = [
        marks.ProcessMark(7, 1, "main", "3.11.0", ORIGIN_NS, None),
        marks.ProcessMark(9, 7, "spawn", "3.11.0", ORIGIN_NS + 30 * S, None),
    ]
    trials = [mark(0, 0.1, 0.3), mark(1, 0.4, 60.0), mark(2, 61.0, 99.0)]
    lives = {(9, 9): clock.Life(30.0, 99.0)}
    known = marks.Marks(processes, trials)
    return time_profile.Capture(file, known, lives, ORIGIN_NS, 100.0, 50, **more)


def test_a_study_that_py_spy_left_is_told_as_far_as_it_was_seen(tmp_path: Path) -> None:
    built = time_profile.build(capture(tmp_path, cut=True), "x")
    profile = built.profile
    assert profile.duration_s == pytest.approx(0.5, abs=0.03)
    assert sum(phase.seconds for phase in profile.phases) == pytest.approx(0.5, abs=0.05)
    assert [(trial.number, trial.state) for trial in profile.trials] == [
        (0, "complete"),
        (1, "running"),
    ]
    assert built.lost == ()  # a worker of later was not lost
    assert any("went on to 100 s unseen" in remark for remark in profile.remarks)


def test_a_study_that_was_seen_to_its_end_is_whole(tmp_path: Path) -> None:
    built = time_profile.build(capture(tmp_path), "x")
    assert built.profile.duration_s == 100.0
    assert built.lost == (9,)
    assert not any("unseen" in remark for remark in built.profile.remarks)


def test_a_script_that_was_edited_meanwhile_is_said(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text("x = 1\ny = 2\nconnection.commit()\n", encoding="utf-8")
    os.utime(script, (1000.0, 1000.0))
    frame = ("f", str(script), 3)
    file = speedscope(tmp_path / "x", (7, 7, [[frame]] * 25))
    phases = {}
    for since_s in (900.0, 1100.0):
        one = time_profile.Capture(file, marks.Marks(), {}, 0, 1.0, 50, since_s=since_s)
        profile = time_profile.build(one, "x").profile
        phases[since_s] = [phase.name for phase in profile.phases]
        told = any("changed while the study ran" in remark for remark in profile.remarks)
        assert told == (since_s == 900.0)
    assert phases == {900.0: ["objective"], 1100.0: ["wait for disk"]}


def test_trials_that_could_not_be_marked_are_not_said_to_be_none(tmp_path: Path) -> None:
    run = ("_run_trial", "/x/site-packages/optuna/study/_optimize.py", 0)
    process = marks.ProcessMark(7, 1, "main", "3.11.0", 0, None)
    absent = {}
    nothing: frozenset[str] = frozenset()
    for patched in (nothing, time_profile.PATCHED):
        for stack in ([F], [F, run]):
            file = speedscope(tmp_path / "x", (7, 7, [stack] * 25))
            known = marks.Marks([process], [], [], set(patched))
            one = time_profile.Capture(file, known, {}, 0, 1.0, 50)
            absent[bool(patched), len(stack)] = time_profile.build(one, "x").profile.trials_absent
    assert "could not get at them" in absent.pop((False, 2))
    assert set(absent.values()) == {"no trial of Optuna began"}


@pytest.mark.stress
@needs_py_spy
def test_a_study_runs_on_when_py_spy_has_looked_long_enough(tmp_path: Path) -> None:
    study = tmp_path / "study.py"
    study.write_text(
        "import time\nend = time.monotonic() + 7\n"
        "while time.monotonic() < end: pass\nprint('ran')\n",
        encoding="utf-8",
    )
    line = [sys.executable, str(SCRIPTS / "study_time.py"), "--most", "2"]
    own = ["--python", sys.executable, "--output", str(tmp_path), str(study)]
    done = subprocess.run([*line, *own], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
    assert "the study goes on without it" in done.stderr
    assert "unseen" in done.stderr


@pytest.mark.stress
@needs_py_spy
def test_what_a_study_leaves_running_keeps_nobody_waiting(tmp_path: Path) -> None:
    study = tmp_path / "study.py"
    study.write_text(
        "import subprocess, sys, time\n"
        "line = [sys.executable, '-c', 'import time; time.sleep(50)']\n"
        "left = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,\n"
        "    start_new_session=True)\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end: pass\n"
        "print(left.pid, flush=True)\n",
        encoding="utf-8",
    )
    line = [sys.executable, str(SCRIPTS / "study_time.py"), "--python", sys.executable]
    own = ["--output", str(tmp_path), str(study)]
    done = subprocess.run([*line, *own], capture_output=True, text=True, timeout=45)
    os.kill(int(done.stdout), signal.SIGKILL)  # it was still there
    assert done.returncode == 0, done.stderr
    assert "the study ended well" in done.stderr
