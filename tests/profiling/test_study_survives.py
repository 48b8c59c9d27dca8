"""A study and its recording outlive what may go wrong with py-spy, and with us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sample_profiles import growing
from script_modules import SCRIPTS, script_module

launch: Any = script_module("_launch")
interpreter: Any = script_module("_interpreter")
record: Any = script_module("_record")
report: Any = script_module("_report")
study_end: Any = script_module("_study_end")
study_time: Any = script_module("study_time")
watch: Any = script_module("_watch")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# Runs the study as py-spy does, and gives up as soon as it is well under way.
GIVING_UP = """#!/bin/sh
echo 'py-spy> Sampling process 200 times a second.'
while [ "$1" != -- ]; do shift; done; shift
"$@" &
while [ ! -e begun ]; do sleep 0.02; done
echo 'Error: enough' >&2
exit 1
"""
DRIVER = """
import sys; sys.path.insert(0, sys.argv[1])
import _launch, _py_spy, _study_end, study_time
_study_end.RUNNING_S = 0.2
say = _launch.say
def told(line):
    say(line)
    if 'goes on' in line:
        open('told', 'w').close()
_launch.say = told
_py_spy.find_py_spy = lambda *_: sys.argv[2]
_py_spy.try_py_spy = lambda *_: 'a py-spy'
sys.exit(_launch.main(study_time.Time(), sys.argv[3:]))
"""
STUDY = """
import os, sys, time
open('begun', 'w').close()
try:
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.02)
finally:
    print('done', flush=True)
sys.exit(7)
"""


def left_alone(folder: Path, until: str) -> subprocess.Popen[str]:
    """A study under a py-spy that gives up; it runs until there is a file of a name."""
    py_spy = folder / "py-spy"
    py_spy.write_text(GIVING_UP, encoding="utf-8")
    py_spy.chmod(0o755)
    (folder / "study.py").write_text(STUDY, encoding="utf-8")
    own = ["--pause", "--python", sys.executable, "study.py", until]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(SCRIPTS), str(py_spy), *own],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def facts(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("**/run.json")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def test_a_study_runs_on_when_py_spy_gives_up(tmp_path: Path) -> None:
    with left_alone(tmp_path, "told") as running:
        out, err = running.communicate(timeout=60)
    assert out == "done\n"
    assert running.returncode == launch.STUDY_FAILED
    assert facts(tmp_path)["study_exit_code"] == 7
    assert "the study goes on without it" in err
    assert "py-spy failed: Error: enough; the study went on to its end without it" in err
    assert "failed with exit code 7" in err


@pytest.mark.stress
def test_a_signal_reaches_a_study_that_py_spy_has_left(tmp_path: Path) -> None:
    with left_alone(tmp_path, "never") as running:
        assert running.stderr is not None
        while "goes on without it" not in running.stderr.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGTERM)  # a shell lets its jobs ignore SIGINT
        out, _ = running.communicate(timeout=30)
    assert out == ""
    assert running.returncode == 128 + signal.SIGTERM


# --- waiting for the end


def test_a_study_that_runs_on_is_waited_for_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_end, "RUNNING_S", 0.0)
    assert study_end.accompany(tmp_path, print) is None  # it never began
    (tmp_path / ".pid").write_text(f"{os.getpid()}\n")
    told: list[int] = []

    def alone(pid: int) -> None:
        told.append(pid)
        (tmp_path / ".code").write_text("7\n")

    assert study_end.accompany(tmp_path, alone) == 7
    assert told == [os.getpid()]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_a_study_that_nobody_waits_for_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as ended:
        for _ in range(500):
            if not study_end.lives(ended.pid):
                break
            time.sleep(0.01)  # leaves the processor to the one that ends
        else:
            pytest.fail("a zombie counts as a study that runs")


def test_py_spy_is_asked_to_write_when_it_outlives_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_end, "LINGER_S", 0.01)
    monkeypatch.setattr(study_end, "_LOOK_S", 0.01)
    asked = threading.Event()
    with study_end.Finisher(tmp_path, asked.set):
        time.sleep(0.1)
        assert not asked.is_set()
        (tmp_path / ".code").write_text("0\n")
        assert asked.wait(10)


def test_the_end_is_told_by_the_clock_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time_ns
    monkeypatch.setattr(study_end.time, "time_ns", lambda: real() + 1000 * 10**9)
    (tmp_path / ".code").write_text("0\n")
    assert study_end.ended_ns(tmp_path) == pytest.approx(time.monotonic_ns(), abs=5e9)


# --- signals after the study's end


def test_ctrl_c_after_the_end_lets_the_profiler_write() -> None:
    script = 'trap "echo asked" INT; echo ready; while :; do sleep 0.02; done'
    supervisor = record.Supervisor(lambda _: None)
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        supervisor._process = process
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(2):
            supervisor._pass_on(signal.SIGINT, None)
            assert process.stdout.readline() == "asked\n"
        supervisor._pass_on(signal.SIGINT, None)
        assert process.wait(timeout=10) == -signal.SIGKILL
    assert supervisor.received is None  # nobody interrupted the study


def test_signals_are_passed_on_until_the_study_has_ended() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    seen: list[Any] = []
    supervisor = record.Supervisor(
        lambda _: None, lambda: seen.extend(signal.getsignal(number) for number in numbers)
    )
    assert supervisor.run([sys.executable, "-S", "-c", ""]) == 0
    assert supervisor.ended_ns is not None
    for handler, found in zip(before, seen, strict=True):  # nohup's is left alone
        assert found == (handler if handler is signal.SIG_IGN else supervisor._pass_on)
    assert [signal.getsignal(number) for number in numbers] == before


def test_who_gets_a_signal(tmp_path: Path) -> None:
    assert study_end.who(tmp_path, 5) == 5
    (tmp_path / ".pid").write_text("7\n")
    assert study_end.who(tmp_path, 5) == 7
    (tmp_path / ".code").write_text("0\n")
    assert study_end.who(tmp_path, 5) is None


# --- what was recorded is kept


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError(), KeyboardInterrupt()])
def test_samples_are_kept_whatever_fails(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*unused: object) -> None:
        raise error

    monkeypatch.setattr(study_time._time_profile, "build", fail)
    marks = tmp_path / "noted"
    marks.mkdir()
    (marks / "1-5.marks").write_text("P 5 1 1 0 other 3.11.0\n", encoding="utf-8")
    recording = record.Recording.create(tmp_path, "study", NOW)
    recording.draft(study_time.SAMPLES).write_text("{}", encoding="utf-8")
    outcome = launch.Outcome(0)
    clock = study_time._Clock(0, 10**9, 10**9, watch.Watcher(marks))
    job = Namespace(options=Namespace(rate=200), words=["study.py"])
    study_time.Time()._read(job, recording, outcome, marks, clock)
    recording.sweep()
    kept = recording.folder / study_time.SAMPLES
    assert kept.exists()
    assert (recording.folder / study_time.MARKS / "1-5.marks").exists()
    assert str(kept) in outcome.reason
    assert (outcome.received is None) == isinstance(error, Exception)


class Done:
    """A profiler that has its profile."""

    program = "study_time"

    def record(self, job: Any, recording: Any) -> Any:
        return launch.Outcome(0, profile=growing(trials=40))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), 5),
        (RuntimeError("odd"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_report_that_could_not_be_written_is_no_success(
    error: BaseException,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*unused: object) -> None:
        raise error

    monkeypatch.setattr(report, "write", fail)
    python = interpreter.Interpreter(sys.executable, "3.11.0", "a test")
    job = launch.Job("study", ["study.py"], python, {}, tmp_path, Namespace())
    recording = record.Recording.create(tmp_path, "study", NOW)
    assert launch._record_and_report(Done(), job, recording, NOW) == code
    known = facts(tmp_path)
    assert (known["exit_code"], known["product"]) == (code, None)
    err = capsys.readouterr().err
    assert "the study ended well" in err
    assert "the report was" in err
    assert "no profile; what is known" in err
