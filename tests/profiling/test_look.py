"""A look at a live study: nobody is left stopped, only what lived is told, errors are lines."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from looking import LIMIT_S, SLEEP, until
from script_modules import script_module

armed = script_module("_armed")
attach = script_module("attach")
launch = script_module("_launch")
look = script_module("_look")
look_memory = script_module("_look_memory")
look_time = script_module("_look_time")
marks = script_module("_marks")
memory = script_module("_memory")
resident = script_module("_resident")
target = script_module("_target")
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")


@pytest.fixture
def live() -> Iterator[int]:
    process = subprocess.Popen(SLEEP, stdin=subprocess.PIPE)
    yield process.pid
    process.kill()
    process.communicate(timeout=LIMIT_S)


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: target.state(pid) == "T")


def ended_with(code: int) -> Any:
    return SimpleNamespace(poll=lambda: code, returncode=code)


# --- stopped processes


@needs_proc
def test_whoever_was_stopped_by_others_stays_so(live: int) -> None:
    stop(live)
    assert look_time._released(ended_with(0), live, set()) == []
    assert look_time._released(ended_with(1), live, set()) == []
    assert target.state(live) == "T"


@needs_proc
def test_whoever_a_killed_py_spy_left_stopped_is_woken_and_told(
    live: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stop(live)
    assert look_time._released(ended_with(-9), live, {live}) == []
    assert look_time._released(ended_with(-9), live, set()) == [live]
    until(lambda: target.state(live) != "T")
    assert f"woken:       {live}" in capsys.readouterr().err


def hanging(folder: Path) -> str:
    """A py-spy that stops its target and hangs: `dump --pid N`."""
    program = folder / "py-spy"
    program.write_text('#!/bin/sh\nkill -STOP "$3"\nexec sleep 600\n')
    program.chmod(0o755)
    return str(program)


@needs_proc
def test_a_first_look_that_hangs_is_ended_and_leaves_nobody_stopped(
    live: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(look_time._py_spy, "find_py_spy", lambda *_: hanging(tmp_path))
    monkeypatch.setattr(look_time, "_DUMP_S", 1.0)
    assert attach.main(["--pause", "--pid", str(live), "--output", str(tmp_path / "x")]) == 4
    assert "gave no answer" in capsys.readouterr().err
    until(lambda: target.state(live) != "T")


@needs_proc
def test_a_second_ctrl_c_ends_a_first_look(
    live: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(look_time._py_spy, "find_py_spy", lambda *_: hanging(tmp_path))
    started = look_time._started

    def interrupted(*words: Any) -> Any:
        process = started(*words)
        until(lambda: target.state(live) == "T")
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        return process

    monkeypatch.setattr(look_time, "_started", interrupted)
    assert attach.main(["--pause", "--pid", str(live), "--output", str(tmp_path / "x")]) == 130
    assert "interrupted" in capsys.readouterr().err
    until(lambda: target.state(live) != "T")


def test_the_second_interruption_insists() -> None:
    before = signal.getsignal(signal.SIGINT)
    with target.Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        until(interruption.asked.is_set)
        assert not interruption.insisted.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        until(interruption.insisted.is_set)
    assert signal.getsignal(signal.SIGINT) is before


# --- who lived


def process(pid: int, start_ns: int, end_ns: int | None = None) -> Any:
    return marks.ProcessMark(pid, 1, "fork", "3.11.7", start_ns, end_ns)


def test_only_processes_that_lived_in_the_look_are_told() -> None:
    """Begun at 100, ended at 200; 1, 3 and 9 were alive when it began."""
    known = [
        process(9, 1, 50),  # another process with that id
        process(1, 5),
        process(2, 6),  # killed long ago: it noted no end
        process(3, 7, 150),
        process(4, 8, 90),
        process(9, 60),
        process(5, 120, 130),
        process(6, 250),
    ]
    comp = look._lived(known, {1, 3, 9}, 100, 200)
    assert sorted((one.pid, one.start_ns) for one in comp) == [(1, 5), (3, 7), (5, 120), (9, 60)]


def a_look(folder: Path, pid: int = 7) -> Any:
    return look.Look(
        SimpleNamespace(pid=pid, rate=100, duration=1),
        SimpleNamespace(folder=folder, keep=lambda name: folder / name),
        SimpleNamespace(folder=folder),
        100,
        "study.py",
        ["python", "study.py"],
        target.Interruption(),
        frozenset({7}),
    )


def test_trials_of_processes_that_are_gone_are_left_out(tmp_path: Path) -> None:
    for pid in (7, 8):
        lines = [f"P 10 1 {pid} 1 fork 3.11.7", f"S 20 1 1 {pid} 0"]
        (tmp_path / f"{pid}-10.marks").write_text("\n".join(lines) + "\n")
    comp = look.marks_since(a_look(tmp_path), 200)
    assert [one.pid for one in comp.processes] == [7]
    assert [(one.number, one.state) for one in comp.trials] == [(7, "running")]


# --- exit codes


def test_a_process_that_was_never_sampled_is_7(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = script_module("_model").Profile(
        "time", "x", {}, 1.0, (), "", (), (), None, None, (), ()
    )
    built = SimpleNamespace(profile=profile, samples=500, lost=(9,))
    monkeypatch.setattr(look_time._time_profile, "build", lambda *_: built)
    one = a_look(tmp_path)
    look_time._read_samples(one, look_time._ways.own(), tmp_path / "samples", 200)
    assert (one.code, one.reason) == (launch.CAPTURE_LOST, "processes were never sampled: 9")


@needs_proc
def test_a_system_error_in_a_look_is_a_line_and_5(
    live: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(one: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(look_memory, "look_at", full)
    words = ["--pid", str(live), "--memory", "--output", str(tmp_path)]
    assert attach.main(words) == launch.NO_PROFILE
    assert "attach: no profile: no space left" in capsys.readouterr().err


def test_to_disarm_what_was_not_armed_is_2(live: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert attach.main(["--pid", str(live), "--disarm"]) == launch.BAD_USAGE
    assert "was not started by --arm" in capsys.readouterr().err


@needs_proc
def test_a_python_that_py_spy_does_not_know_is_not_called_none(
    live: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "py-spy"
    program.write_text("#!/bin/sh\necho 'Error: unknown version' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(look_time._py_spy, "find_py_spy", lambda *_: str(program))
    monkeypatch.setattr(look_time, "_AGAIN_S", 0.0)
    assert attach.main(["--pause", "--pid", str(live), "--output", str(tmp_path / "x")]) == 4
    assert "a newer py-spy may know it" in capsys.readouterr().err


# --- words


def test_control_characters_of_a_command_line_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resident, "command_of", lambda pid: "\x1b]0;owned\a\x1b[2J sleep")
    assert str(target.not_python(7, "no")).isprintable()
    assert look_time._said("Error: \x1b[2J no").isprintable()


def test_who_traces_a_process_already_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "command_of", lambda pid: f"gdb {pid}")
    facts = target.Facts(7, 0, 0, 0, False, True, tracer=12)
    assert target.cause_of(facts, "again")[0] == "process 12 traces it already (gdb 12)"
    assert target.cause_of(dataclasses.replace(facts, tracer=0), "again")[0].startswith("the syst")


@needs_proc
def test_the_user_is_that_of_the_process_and_not_of_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert target.user_of(os.getpid()) == os.geteuid()
    assert target.group_of(os.getpid()) == os.getegid()
    monkeypatch.setattr(target, "_status", lambda pid: {"Uid": "1\t2\t3\t4"})
    assert target.facts_of(os.getpid()).uid == 2


# --- memory


def test_resident_memory_of_several_is_that_of_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that follow each other do not add up."""
    rounds = [{1: 100, 2: 50}, {1: 100, 3: 60}, {1: 90}]
    sizes: dict[int, int] = {}
    watcher = resident.ResidentWatcher(1)

    def family(root: int) -> list[tuple[int, int | None]]:
        sizes.clear()
        sizes.update(rounds.pop(0))
        if not rounds:
            watcher._stop.set()
        return [(pid, None) for pid in sizes]

    monkeypatch.setattr(resident, "EVERY_S", 0.0)
    monkeypatch.setattr(resident, "family", family)
    monkeypatch.setattr(resident, "resident_bytes", lambda pid: sizes[pid])
    monkeypatch.setattr(resident, "is_python", lambda pid: True)
    monkeypatch.setattr(resident, "command_of", lambda pid: "python")
    watcher._watch()
    assert watcher.highest_bytes == 160


def test_what_was_held_before_a_look_is_said_to_be_missing(tmp_path: Path) -> None:
    seen = resident.Resident(7, None, True, "python", [(1, 3_000_000_000)])
    evidence = memory.Evidence([], marks.Marks(), {7: seen}, memory.Clock(0, 0, 1.0))
    (said,) = look_memory._held_before(a_look(tmp_path), evidence)
    assert "since the look began" in said
    assert "3.00 GB" in said


def test_a_look_ends_before_its_captures_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study runs on meanwhile: trials that end then are in no capture."""
    ended: list[int] = []
    known: list[int] = []

    def end(one: Any) -> list[int]:
        ended.append(time.monotonic_ns())
        return []

    def marks_since(one: Any, until_ns: int) -> Any:
        known.append(until_ns)
        return marks.Marks()

    monkeypatch.setattr(armed, "why_not", lambda one: "")
    monkeypatch.setattr(armed, "begin", lambda one, interrupted: {})
    monkeypatch.setattr(armed, "end", end)
    monkeypatch.setattr(look_memory, "_follow", lambda one, recorded: None)
    monkeypatch.setattr(look_memory, "marks_since", marks_since)
    one = a_look(tmp_path)
    one.options.pid = os.getpid()
    look_memory.look_at(one)
    assert known[0] <= ended[0]


@pytest.mark.parametrize("failing", ["begin", "follow"])
def test_a_recording_is_ended_whatever_happens(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*details: object) -> None:
        raise OSError("no space left")

    ended: list[object] = []

    def end(one: Any) -> list[int]:
        ended.append(one)
        return []

    monkeypatch.setattr(armed, "why_not", lambda one: "")
    monkeypatch.setattr(armed, "begin", fail if failing == "begin" else lambda *_: {})
    monkeypatch.setattr(armed, "end", end)
    monkeypatch.setattr(look_memory, "_follow", fail)
    with pytest.raises(OSError, match="no space left"):
        look_memory.look_at(a_look(tmp_path))
    assert len(ended) == 1
