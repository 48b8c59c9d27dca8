"""A study that was started armed: it records its memory while a look wants it to.

The study's processes read in a file of its folder until when they are wanted, and end by
themselves after that: a look renews this lease, so that one that is killed leaves nobody recording.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import _launch
import _plain
import _resident
import _target
from study_memory import HOOK, captures_in, unprofiled

# Of the real-time signals, which studies and their libraries leave alone.
SIGNAL = signal.SIGRTMAX - 3 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR2
LEASE_S = 20.0
_ANSWER_S = 15.0  # a handler waits for the end of the C call that the study is in
_WANTED, _NEVER = "wanted", "never"
_LONGEST_NOTE = 200


@dataclass(frozen=True)
class Armed:
    """Where an armed study leaves its captures and marks, and who can read them."""

    pid: int
    folder: Path
    python: str


@dataclass(frozen=True)
class Note:
    """What a process said of itself: armed, recording or failed."""

    number: int  # the signal it listens to
    state: str
    born: str


def start(job: _launch.Job) -> NoReturn:
    """Become the study, armed.  Raises OSError when its interpreter does not start."""
    folder = tempfile.mkdtemp(prefix="study-armed-")
    environ = unprofiled(job.environ)
    before = environ.get("PYTHONPATH")
    environ |= {
        "PYTHONPATH": f"{HOOK}{os.pathsep}{before}" if before else str(HOOK),
        "VELOCITY_PROFILE_MARKS": folder,
        "VELOCITY_PROFILE_PYTHON": job.python.path,
    }
    line = look_line(os.getpid(), "--duration", "30")
    _launch.say(f"armed:       process {os.getpid()}; from another terminal:\n  {line}")
    if job.python.package_version is None:
        _launch.say("             memray is not installed there: its memory cannot be recorded")
    else:
        environ["VELOCITY_PROFILE_MEMORY"] = folder
        environ["VELOCITY_PROFILE_SIGNAL"] = str(int(SIGNAL))
        _launch.say(f"  {line} --memory")
    _launch.say(f"             its marks lie in {folder}: remove it when the study has ended")
    sys.stdout.flush()
    os.execve(job.python.path, job.command, environ)


def look_line(pid: int, *more: str) -> str:
    """The command that looks at a process, from any folder and by the Python that has py-spy."""
    script = str(Path(__file__).resolve().with_name("attach.py"))
    return _launch.shell_line([sys.executable, script, "--pid", str(pid), *more])


def find(pid: int) -> Armed | None:
    """What a study was armed with; None where it was not, or may not be read.

    Its environment is its own word: a folder that is not its user's alone is not believed.
    """
    environ = _target.environment(pid)
    folder = environ.get("VELOCITY_PROFILE_MARKS", "")
    python = environ.get("VELOCITY_PROFILE_PYTHON", "")
    if not folder or not python:
        return None
    if not belongs(Path(folder), _target.user_of(pid)):
        _launch.say("armed:       its folder is gone, or not its user's alone: it is not read")
        return None
    return Armed(pid, Path(folder), python)


def belongs(folder: Path, user: int | None) -> bool:
    """Whether a folder is one user's, and nobody else can put anything into it."""
    try:
        found = os.lstat(folder)
    except (OSError, ValueError):
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == user
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


# --- recording


def why_not(armed: Armed) -> str:
    """Why its memory cannot be recorded now; empty where it can."""
    said = _said(armed.folder / _WANTED)
    if said == _NEVER:
        return "the study was disarmed"
    if said.isdigit() and int(said) > time.monotonic_ns():
        return f"another look records it now, or was killed less than {LEASE_S:.0f} s ago"
    return ""


def renew(armed: Armed) -> None:
    """Let the recording go on for another while, unless it was disarmed.  Raises OSError."""
    if _said(armed.folder / _WANTED) != _NEVER:
        _want(armed, str(time.monotonic_ns() + int(LEASE_S * 1e9)))


def begin(armed: Armed, interrupted: threading.Event) -> dict[int, str]:
    """Let a study and its workers begin to record; by process, the state it then noted.

    `armed` stands for those that did not answer: they may begin later, when the C call ends that
    they are in.  A signal goes only to a process that said it listens and has a handler now.
    """
    renew(armed)
    asked: dict[int, str] = {}
    for pid, _ in _resident.family(armed.pid):
        note = noted(armed, pid)
        if note is None or note.state == "recording":
            continue
        if _target.catches(pid, note.number) and _target.send(pid, note.number, note.born):
            asked[pid] = note.state
    states = dict.fromkeys(asked, "armed")
    deadline = time.monotonic() + _ANSWER_S
    while not interrupted.is_set() and time.monotonic() < deadline:
        states = {pid: state for pid in asked if (state := _state(armed, pid))}
        if "armed" not in states.values():
            break
        interrupted.wait(0.02)
    return states


def end(armed: Armed) -> list[int]:
    """Let all that record end it; returns those that still do after a while.

    They end it by themselves, as soon as the C call ends that they are in.
    """
    if _said(armed.folder / _WANTED) != _NEVER:
        with contextlib.suppress(OSError):  # without it nobody is wanted
            (armed.folder / _WANTED).unlink()
    deadline = time.monotonic() + _ANSWER_S
    while (late := recording(armed)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return late


def disarm(armed: Armed) -> list[int]:
    """End every recording, and let none begin again; returns those that still record.

    Raises OSError when that cannot be written.
    """
    _want(armed, _NEVER)
    return end(armed)


def recording(armed: Armed) -> list[int]:
    """The living processes that noted that they record."""
    found = []
    for path in armed.folder.glob("*.armed"):
        if path.stem.isdigit():
            note = noted(armed, int(path.stem))
            if note is not None and note.state == "recording":
                found.append(int(path.stem))
    return sorted(found)


def noted(armed: Armed, pid: int) -> Note | None:
    """What a living process noted of itself; None where it did not, or was another one."""
    words = _said(armed.folder / f"{pid}.armed").split()
    if len(words) != 3 or not words[0].isdigit() or _target.state(pid) in ("", "Z", "X"):
        return None
    return Note(int(words[0]), words[1], words[2]) if words[2] == _target.born(pid) else None


def _state(armed: Armed, pid: int) -> str:
    note = noted(armed, pid)
    return "" if note is None else note.state


def _want(armed: Armed, said: str) -> None:
    """Write, in one rename, until when the processes are wanted.

    Not through a link: the folder may be that of another user.
    """
    draft = armed.folder / f"{_WANTED}.{os.getpid()}.part"
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # the study may be that of another user
        os.write(descriptor, said.encode("ascii"))
    finally:
        os.close(descriptor)
    draft.replace(armed.folder / _WANTED)


def _said(path: Path) -> str:
    return _plain.text(path, _LONGEST_NOTE).strip()


# --- captures


def captures(armed: Armed, since_ns: int) -> list[Path]:
    """The captures begun since a moment on the monotonic clock."""
    began = {
        path: path.name.partition("-")[2].partition(".")[0] for path in captures_in(armed.folder)
    }
    return [
        path
        for path, ns in began.items()
        if ns.isdigit() and int(ns) >= since_ns and stat.S_ISREG(os.lstat(path).st_mode)
    ]


def take(paths: list[Path], folder: Path) -> None:
    """Move captures into a folder; one that cannot be moved stays where it is."""
    for path in paths:
        with contextlib.suppress(OSError):
            try:
                path.rename(folder / path.name)
            except OSError:  # another file system
                with _plain.opened(path) as file, (folder / path.name).open("xb") as copy:
                    shutil.copyfileobj(file, copy)
                path.unlink()


def reader(armed: Armed) -> tuple[dict[str, str], dict[str, Any]]:
    """The environment and the user that read the captures: those of the study.

    Its interpreter is one that its environment names: nobody runs it with more rights than the
    study has.
    """
    user, group = _target.user_of(armed.pid), _target.group_of(armed.pid)
    if user == os.geteuid():
        return unprofiled(os.environ), {}
    environ = unprofiled(_target.environment(armed.pid))
    return environ, {"user": user, "group": group, "extra_groups": []}
