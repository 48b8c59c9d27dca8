"""One recording: its folder, its files written whole or not at all, and the running study."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

DEFAULT_PARENT = ".profiles"
_NAME_LENGTH = 60  # keeps the folder's name below every file system's limit, in any script
_PATIENCE = 2  # times that a profiler whose study has ended is asked before it is killed


class Recording:
    """A folder of its own, and files that appear in it only when they are whole.

    Drafts lie in the same folder under a hidden name, so that taking one over is one rename.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, parent: Path, name: str, now: datetime) -> Recording:
        """Make `parent/<name>-<UTC>/`; a name that is taken gets a suffix.

        Safe against others doing the same at the same moment. Raises OSError.
        """
        parent.mkdir(parents=True, exist_ok=True)
        if parent.name == DEFAULT_PARENT:
            _keep_out_of_git(parent)
        stem = f"{folder_name(name)}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        attempt = 1
        while True:
            folder = parent / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                folder.mkdir(mode=0o700)  # command lines and paths are nobody else's
            except FileExistsError:
                attempt += 1
            else:
                return cls(folder)

    def draft(self, name: str) -> Path:
        """Where the file `name` is written before it is whole."""
        return self.folder / f".{name}.part"

    def keep(self, name: str) -> Path:
        """Give a whole draft its final name; returns the final path."""
        return self.draft(name).rename(self.folder / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write one JSON file, whole."""
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
        # A file name that is not UTF-8 reaches Python as surrogates: kept readable, as escapes.
        self.draft(name).write_text(text, encoding="utf-8", errors="backslashreplace")
        return self.keep(name)

    def sweep(self) -> None:
        """Remove the drafts that never became whole."""
        for draft in self.folder.glob(".*"):
            with contextlib.suppress(OSError):
                draft.unlink()


def _keep_out_of_git(parent: Path) -> None:
    """Let git pass over the recordings in a repository of the user's own."""
    with contextlib.suppress(OSError), (parent / ".gitignore").open("x") as file:
        file.write("*\n")


def folder_name(name: str) -> str:
    """A name that is safe in a path: letters and digits of any script, `_`, `.` and `-`."""
    safe = re.sub(r"[^\w.-]+", "_", name.encode("utf-8", "replace").decode("utf-8"))
    short = safe.strip("._-").encode("utf-8")[:_NAME_LENGTH].decode("utf-8", "ignore")
    return short or "study"


class Supervisor:
    """Runs a profiler with its study and passes interruptions on to the study alone.

    They run in a session of their own, so a Ctrl-C at the terminal reaches only this process: the
    study then gets the signal, cleans up while it is still recorded, and the profiler ends as it
    does after any study. A second Ctrl-C kills the study. After the study's end the first two ask
    the profiler to write what it has, and the third kills it.
    """

    def __init__(
        self,
        study_pid: Callable[[int], int | None],
        afterwards: Callable[[], object] = lambda: None,
    ) -> None:
        """study_pid: from the profiler's process id to the one that gets the signal, if any.

        afterwards: called when the profiler has ended, while signals are still passed on.
        """
        self.received: int | None = None
        self.duration_s = 0.0
        self.ended_ns: int | None = None  # of the profiler, on the monotonic clock
        self._study_pid = study_pid
        self._afterwards = afterwards
        self._hurried = 0
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str], **options: Any) -> int:
        """Run to the end and return the exit code (128 + n after signal n).

        options: as for `subprocess.Popen`. Raises OSError when the command does not start.
        """
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        before = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            if before[number] is not signal.SIG_IGN:  # as set by nohup
                signal.signal(number, self._pass_on)
        start = time.perf_counter()
        try:
            # Descriptors stay open: a study may be given one, as in `study.py <(command)`.
            self._process = subprocess.Popen(
                command, start_new_session=True, close_fds=False, **options
            )
            if self.received is not None:  # while the process was being started
                self.end_group()
            code = self._process.wait()
            self.ended_ns = time.monotonic_ns()
            self._afterwards()
        finally:
            self.duration_s = time.perf_counter() - start
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.received is not None:
            self.end_group()
        return shell_code(code)

    @property
    def session(self) -> int | None:
        """That of the profiler and of the study; None before it was started."""
        return self._process.pid if self._process is not None else None

    def end_group(self) -> None:
        """Kill what is left of the profiler's and the study's processes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def hurry(self) -> None:
        """Ask the profiler to write what it has; without effect once it has ended."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                self._process.send_signal(signal.SIGINT)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        process = self._process
        if process is None:
            self.received = self.received or number
            return
        study = self._study_pid(process.pid)
        if study is None:
            self._hurried += 1
            if self._hurried <= _PATIENCE:
                self.hurry()
            elif process.returncode is None:
                self.end_group()
            return
        again = self.received is not None
        self.received = self.received or number
        if study == process.pid and process.returncode is not None:
            return  # the number may be another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(study, signal.SIGKILL if again else number)


def shell_code(code: int) -> int:
    """An exit code as a shell tells it: 128 + n after signal n."""
    return 128 - code if code < 0 else code


def describe_code(code: int) -> str:
    """An exit code in words."""
    if code > 128:
        with contextlib.suppress(ValueError):
            return f"exit code {code} (as after {signal.Signals(code - 128).name})"
    return f"exit code {code}"
