"""Attaching to a live study: who is refused and why, and what a look shows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from looking import living, skip_unless_permitted, until
from script_modules import SCRIPTS, script_module

attach = script_module("attach")
look_time = script_module("_look_time")
target = script_module("_target")
resident = script_module("_resident")
armed = script_module("_armed")
launch = script_module("_launch")
marks = script_module("_marks")

HERE = Path(__file__).resolve().parent
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")
ROOT, ANN = 0, 1000
LINE = "python profiling/attach.py --pid 7"


def facts(**changed: Any) -> Any:
    plain = {"pid": 7, "own_uid": ANN, "uid": ANN, "yama": 0, "filtered": False, "capable": False}
    return target.Facts(**(plain | changed))


@pytest.mark.parametrize(
    ("changed", "cause", "remedy"),
    [
        ({"uid": ROOT}, "belongs to the user root", f"sudo -u root {LINE}"),
        ({"uid": 54321}, "belongs to the user '#54321'", f"sudo -u '#54321' {LINE}"),
        ({"yama": 1}, "ptrace_scope is 1", "sudo sysctl kernel.yama.ptrace_scope=0"),
        ({"yama": 2}, "ptrace_scope is 2", f"sudo {LINE}"),
        ({"yama": 3, "capable": True}, "ptrace_scope is 3", "boot with"),
        ({"own_uid": ROOT, "uid": ROOT, "yama": 1}, "ptrace_scope is 1", "--cap-add SYS_PTRACE"),
        ({"filtered": True}, "seccomp profile", "--cap-add SYS_PTRACE"),
        ({"filtered": True, "pid": 1}, "seccomp profile", "--cap-add SYS_PTRACE"),
        ({"pid": 1}, "PID 1", "--init"),
        ({}, "SELinux", f"sudo {LINE}"),
    ],
)
def test_a_refusal_names_the_cause_and_the_remedy(
    changed: dict[str, Any], cause: str, remedy: str
) -> None:
    refusal = target.forbidden(facts(**changed), LINE, "Permission denied")
    assert refusal.code == launch.TOOL_MISSING
    assert cause in str(refusal)
    assert remedy in str(refusal)
    assert "Permission denied" in str(refusal)


@needs_proc
def test_the_facts_of_a_process_of_ours_are_harmless() -> None:
    found = target.facts_of(os.getpid())
    assert (found.pid, found.own_uid, found.uid) == (os.getpid(), os.geteuid(), os.geteuid())


def refusing(folder: Path, reason: str) -> str:
    """A py-spy that says why it cannot look."""
    program = folder / "py-spy"
    program.write_text(f"#!/bin/sh\necho 'Error: {reason}' >&2\nexit 1\n")
    program.chmod(0o755)
    return str(program)


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_process_that_is_gone_is_6(capsys: pytest.CaptureFixture[str]) -> None:
    assert attach.main(["--pid", str(ended_pid())]) == launch.PID_GONE
    assert "there is no process" in capsys.readouterr().err


@needs_proc
def test_a_process_nobody_waited_for_is_6(capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    until(lambda: target.state(process.pid) == "Z")
    assert attach.main(["--pid", str(process.pid)]) == launch.PID_GONE
    assert "has ended already" in capsys.readouterr().err
    process.wait()


@needs_proc
def test_a_process_without_python_is_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = refusing(tmp_path, "Failed to find a python")
    monkeypatch.setattr(look_time._py_spy, "find_py_spy", lambda *_: program)
    with living(["sleep", "600"]) as process:
        for more in ([], ["--pause"], ["--memory"]):
            assert attach.main(["--pid", str(process.pid), *more]) == launch.PID_GONE
    assert capsys.readouterr().err.count("runs no Python: sleep 600") == 3


def test_a_process_that_becomes_another_program_is_called_by_its_new_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = iter(["", "", "sleep 600"])
    monkeypatch.setattr(target._resident, "command_of", lambda pid: next(lines))
    said = str(target.not_python(os.getpid(), "no interpreter"))
    assert "runs no Python: sleep 600 (no interpreter)" in said
    with living(["sleep", "0"]) as process:
        process.wait()
        monkeypatch.undo()
        assert "has ended (no interpreter)" in str(target.not_python(process.pid, "no interpreter"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected --pid PID"),
        (["--pid", "7", "study.py"], "expected --pid PID"),
        (["--disarm"], "expected --pid PID"),
        (["--arm"], "which script"),
        (["--arm", "no such study.py"], "there is no script"),
    ],
)
def test_bad_usage_is_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert attach.main(words) == launch.BAD_USAGE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["--pid", "0"], ["--pid", "x"], ["--pid", "5000000"], ["--pid", "7", "--duration=0"]],
)
def test_numbers_out_of_range_are_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        attach.main(words)
    assert refused.value.code == launch.BAD_USAGE
    assert "is not a whole number from 1 to 4,194,304" in capsys.readouterr().err


@pytest.mark.parametrize("pause", [False, True])
def test_forbidden_tracing_is_4(
    pause: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*unused: object) -> None:
        raise look_time._remote.Forbidden("Operation not permitted")

    program = refusing(tmp_path, "Permission denied (os error 13)")
    monkeypatch.setattr(look_time._py_spy, "find_py_spy", lambda *_: program)
    monkeypatch.setattr(look_time, "Process", refused)
    monkeypatch.setattr(target, "facts_of", lambda pid: facts(pid=pid, filtered=True))
    words = ["--pause"] if pause else []
    with living() as process:
        own = ["--pid", str(process.pid), "--output", str(tmp_path / "profiles")]
        code = attach.main([*words, *own])
    assert code == launch.TOOL_MISSING
    err = capsys.readouterr().err
    assert "--cap-add SYS_PTRACE" in err
    assert ("Permission denied" if pause else "Operation not permitted") in err
    assert not (tmp_path / "profiles").exists()


@needs_proc
def test_only_what_was_not_stopped_before_is_woken() -> None:
    with living() as process:
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: target.state(process.pid) == "T")
        assert target.stopped(process.pid) == {process.pid}
        assert target.wake(process.pid, {process.pid}) == []
        assert target.state(process.pid) == "T"
        assert target.wake(process.pid, set()) == [process.pid]
        until(lambda: target.state(process.pid) != "T")


@needs_proc
def test_a_signal_goes_only_to_a_process_that_listens(tmp_path: Path) -> None:
    """A stale note must not end a process that has no handler."""
    with living() as process:
        note = f"{int(armed.SIGNAL)} armed {target.born(process.pid)}\n"
        (tmp_path / f"{process.pid}.armed").write_text(note)
        one = armed.Armed(process.pid, tmp_path, sys.executable)
        assert armed.noted(one, process.pid) is not None
        assert armed.begin(one, threading.Event()) == {}
        assert process.poll() is None


@needs_proc
def test_resident_memory_is_followed_through_workers() -> None:
    child = "import sys; 'of the child'; sys.stdin.read()"
    code = (
        "import subprocess, sys; held = bytearray(b'x') * 30_000_000\n"
        f"subprocess.run([sys.executable, '-S', '-c', bytes.fromhex('{child.encode().hex()}')])"
    )
    with (
        living([sys.executable, "-S", "-c", code]) as process,
        resident.ResidentWatcher(process.pid) as watcher,
    ):

        def children() -> list[Any]:
            seen = [one for one in list(watcher.seen.values()) if one.parent == process.pid]
            return [one for one in seen if "of the child" in one.command]

        until(children)
    (found,) = children()
    assert found.python
    assert max(size for _, size in watcher.seen[process.pid].points) > 30_000_000


def profile_in(folder: Path) -> Any:
    (path,) = folder.glob("*/profile.json")
    return json.loads(path.read_text("utf-8"))


def trials_of(pid: int) -> int:
    """How many trials an armed study has noted."""
    one = armed.find(pid)
    return len(marks.read(one.folder).trials) if one is not None else 0


@needs_proc
@pytest.mark.stress
def test_an_armed_study_shows_trials_time_and_its_leak(tmp_path: Path) -> None:
    skip_unless_permitted()
    line, told = [sys.executable, str(SCRIPTS / "attach.py")], tmp_path / "told"
    words = [str(HERE / "leaking_study.py"), "10000000", "block", str(told)]
    look = [*line, "--duration", "3", "--output"]
    study = subprocess.Popen(
        [*line, "--arm", "--python", sys.executable, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        until(lambda: trials_of(study.pid) > 10)
        pid = ["--pid", str(study.pid)]
        done = [
            subprocess.run(
                [*look, str(tmp_path / what), *pid, *more], capture_output=True, timeout=120
            )
            for what, more in (("time", []), ("memory", ["--memory"]))
        ]
        told.touch()
        out, _ = study.communicate(timeout=120)
    finally:
        study.kill()
    assert (study.returncode, *(one.returncode for one in done)) == (0, 0, 0), done
    time_profile, memory_profile = profile_in(tmp_path / "time"), profile_in(tmp_path / "memory")
    assert len(time_profile["trials"]) > 30
    assert time_profile["trials_absent"] == ""
    assert {phase["name"] for phase in time_profile["phases"]} >= {"objective", "sampler"}
    truth, leak = json.loads(out), memory_profile["memory"]["leak"]
    assert leak["line"] == truth["line"]
    assert leak["bytes_per_100_trials"] == pytest.approx(
        truth["bytes"] / truth["trials"] * 100, rel=0.05
    )


@needs_proc
def test_of_another_users_process_the_command_line_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(path: str) -> str:
        raise PermissionError(path)

    monkeypatch.setattr("os.readlink", forbidden)
    command = [sys.executable, "-S", "-c", "import sys;\nsys.stdin.read()"]
    with living(command) as python, living(["sleep", "600"]) as other:
        assert resident.is_python(python.pid)
        assert not resident.is_python(other.pid)
        assert "\n" not in resident.command_of(python.pid)
