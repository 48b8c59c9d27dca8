"""A study that was started armed: it records while a look wants it to, and no longer."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from armed_target import ended, living
from looking import until
from script_modules import script_module

armed = script_module("_armed")
launch = script_module("_launch")
target = script_module("_target")
plain = script_module("_plain")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads /proc, and signals of real time"
)

WAITS = "import sys; print('ready', flush=True); sys.stdin.read()"
FORKS = """
import os, sys
print('ready', flush=True)
sys.stdin.readline()
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
print(child, flush=True)
os.waitpid(child, 0)
"""
STARTS = """
import subprocess, sys
print('ready', flush=True)
sys.stdin.readline()
child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "armed"
    made.mkdir()
    return made


def begin(one: Any) -> dict[int, str]:
    found: dict[int, str] = armed.begin(one, threading.Event())
    return found


def state(one: Any, pid: int) -> str:
    note = armed.noted(one, pid)
    return str(note.state) if note else ""


def captures(folder: Path) -> int:
    return len(list(folder.glob("*.bin")))


def test_a_study_that_waits_begins_and_ends(folder: Path) -> None:
    """It waits in the kernel, as one does for its pool: the handler must run all the same."""
    with living(folder, WAITS) as (process, one):
        assert begin(one) == {process.pid: "recording"}
        assert armed.recording(one) == [process.pid]
        assert armed.end(one) == []
        assert state(one, process.pid) == "armed"
        assert captures(folder) == 1
        assert len(list(folder.glob("*.ended"))) == 1
        assert begin(one) == {process.pid: "recording"}, "it can be looked at again"
        assert ended(process) == 0
    assert len(list(folder.glob("*.ended"))) == 2, "its end closes the capture"
    assert list(folder.glob("*.armed")) == []


def test_a_recording_ends_by_itself_when_the_look_was_killed(folder: Path) -> None:
    with living(folder, WAITS) as (process, one):
        assert begin(one) == {process.pid: "recording"}
        armed._want(one, str(time.monotonic_ns() + 200_000_000))  # and nobody renews it
        until(lambda: armed.recording(one) == [])
        assert len(list(folder.glob("*.ended"))) == 1
        assert ended(process) == 0


def test_a_signal_that_comes_late_begins_nothing(folder: Path) -> None:
    with living(folder, WAITS) as (process, one):
        for late in (True, False):
            note = armed.noted(one, process.pid)
            if not late:
                armed.renew(one)
            assert target.send(process.pid, note.number, note.born)
            if late:
                time.sleep(0.2)
        until(lambda: armed.recording(one) == [process.pid])
        assert captures(folder) == 1
        assert armed.end(one) == []


@pytest.mark.parametrize("code", [FORKS, STARTS], ids=["fork", "spawn"])
def test_a_process_born_while_a_look_is_on_records_and_ends_with_it(
    folder: Path, code: str
) -> None:
    with living(folder, code) as (process, one):
        assert begin(one) == {process.pid: "recording"}
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        until(lambda: armed.recording(one) == sorted([process.pid, child]))
        assert armed.end(one) == []
        assert (state(one, process.pid), state(one, child)) == ("armed", "armed")
        assert len(list(folder.glob("*.ended"))) == 2
        assert ended(process) == 0


def test_a_disarmed_study_records_no_more(folder: Path) -> None:
    with living(folder, WAITS) as (process, one):
        assert begin(one) == {process.pid: "recording"}
        assert "another look" in armed.why_not(one)
        assert armed.disarm(one) == []
        assert armed.why_not(one) == "the study was disarmed"
        armed.renew(one)
        note = armed.noted(one, process.pid)
        assert target.send(process.pid, note.number, note.born)
        assert ended(process) == 0
    assert captures(folder) == 1


def test_what_hinders_a_recording_is_told(folder: Path) -> None:
    with living(folder, WAITS, FULL="1") as (process, one):
        assert begin(one) == {process.pid: "failed"}
        assert plain.troubles(folder) == {process.pid: "_memory_hook: OSError: no space left"}
        assert armed.end(one) == []
        assert ended(process) == 0


def test_a_profile_function_of_the_study_is_not_taken_from_it(folder: Path) -> None:
    code = f"import sys; sys.setprofile(lambda *_: None); {WAITS}"
    with living(folder, code) as (process, one):
        assert begin(one) == {process.pid: "failed"}
        assert "a profile function is set" in plain.troubles(folder)[process.pid]
        assert ended(process) == 0


def test_a_note_of_an_earlier_process_is_none(folder: Path) -> None:
    one = armed.Armed(os.getpid(), folder, sys.executable)
    note = folder / f"{os.getpid()}.armed"
    note.write_text(f"{int(armed.SIGNAL)} armed {target.born(os.getpid())}\n")
    assert armed.noted(one, os.getpid()).state == "armed"
    note.write_text(f"{int(armed.SIGNAL)} armed 1\n")
    assert armed.noted(one, os.getpid()) is None
    assert not target.send(os.getpid(), int(armed.SIGNAL), "1")


# --- a folder that may be another user's


def test_only_a_folder_of_the_user_alone_is_believed(tmp_path: Path) -> None:
    user = os.geteuid()
    tmp_path.chmod(0o700)
    assert armed.belongs(tmp_path, user)
    assert not armed.belongs(tmp_path, user + 1)
    assert not armed.belongs(tmp_path, None)
    assert not armed.belongs(tmp_path / "none", user)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    assert not armed.belongs(link, user)
    tmp_path.chmod(0o770)
    assert not armed.belongs(tmp_path, user)


def test_links_and_pipes_are_not_read_nor_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("_memory_hook: secret")
    (tmp_path / "1.trouble").symlink_to(secret)
    os.mkfifo(tmp_path / "2.trouble")
    assert plain.troubles(tmp_path) == {}
    assert script_module("_marks").read(tmp_path).troubles == []
    one = armed.Armed(1, tmp_path, sys.executable)
    (tmp_path / "wanted").symlink_to(secret)
    armed.renew(one)
    assert secret.read_text() == "_memory_hook: secret"
    assert not (tmp_path / "wanted").is_symlink()
    (tmp_path / "5-9.bin").symlink_to(secret)
    os.mkfifo(tmp_path / "6-9.bin")
    (tmp_path / "7-9.bin").touch()
    assert [path.name for path in armed.captures(one, 0)] == ["7-9.bin"]


def test_captures_are_read_as_the_user_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    one = armed.Armed(os.getpid(), Path("/nowhere"), sys.executable)
    assert armed.reader(one)[1] == {}
    monkeypatch.setattr(target, "user_of", lambda pid: os.geteuid() + 1)
    monkeypatch.setattr(target, "group_of", lambda pid: 7)
    theirs = {"PATH": "/theirs", "VELOCITY_PROFILE_MEMORY": "/x"}
    monkeypatch.setattr(target, "environment", lambda pid: theirs)
    environ, identity = armed.reader(one)
    assert identity == {"user": os.geteuid() + 1, "group": 7, "extra_groups": []}
    assert environ == {"PATH": "/theirs"}


def test_the_command_that_is_printed_works_in_any_folder() -> None:
    words = armed.look_line(17, "--memory").split()
    assert words[0] == sys.executable
    assert Path(words[1]).is_absolute()
    assert Path(words[1]).is_file()
    assert words[2:] == ["--pid", "17", "--memory"]
