"""The time of a live study: samples by py-spy, which must leave nobody stopped behind."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import _launch
import _target
import _time_profile
import _words
import study_time
from _launch import CAPTURE_LOST, NO_PROFILE, TOOL_MISSING, Refusal, say
from _look import Look, inside, marks_since
from _resident import is_python

_DUMP_S = 20.0  # for one look of py-spy; more, and the study waits for the disk
_AGAIN_S = 0.3  # and longer before each further look
_LAST_S = 3.0  # between the orders to end, the last of which cannot be refused


def checked_py_spy(
    pid: int, line: str, before: set[int], interruption: _target.Interruption
) -> str:
    """The path of a py-spy that may look into the process; raises Refusal."""
    py_spy = study_time.find_py_spy(sys.executable, os.environ.get("PATH"))
    if py_spy is None:
        install = _launch.shell_line([sys.executable, "-m", "pip", "install", "py-spy"])
        raise Refusal(TOOL_MISSING, f"py-spy is missing; install it with:\n  {install}")
    said = ""
    for attempt in range(3):  # an interpreter that is just starting is not yet one
        code, output = _dump(py_spy, pid, before, interruption)
        if code == 0 or interruption.asked.is_set():
            return py_spy
        said = _said(output)
        if re.search(r"permi(ssion|tted)|denied|EPERM", said, re.IGNORECASE):
            raise _target.forbidden(_target.facts_of(pid), line, said)
        if code is None or code < 0:
            raise Refusal(TOOL_MISSING, f"py-spy gave no answer in {_DUMP_S:.0f} s, or was ended")
        _target.find(pid)
        if not is_python(pid):
            raise _target.not_python(pid, said)
        time.sleep(_AGAIN_S * (attempt + 1))
    raise Refusal(
        TOOL_MISSING, f"py-spy cannot look into process {pid} ({said}); a newer py-spy may know it"
    )


def _dump(
    py_spy: str, pid: int, before: set[int], interruption: _target.Interruption
) -> tuple[int | None, str]:
    """(exit code, output) of a py-spy that looks once."""
    command = [py_spy, "dump", "--pid", str(pid)]
    with tempfile.TemporaryFile() as log:
        try:
            process = _started(command, log)
        except OSError as error:
            raise Refusal(TOOL_MISSING, f"{py_spy} does not run: {error}") from error
        try:
            _wait_for(process, interruption, limit_s=_DUMP_S)
        finally:
            _released(process, pid, before)
        log.seek(0)
        return process.returncode, log.read().decode("utf-8", "replace")


def _started(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """In a session of its own: a Ctrl-C at the terminal must not end it in the midst of a look."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


def _wait_for(
    process: subprocess.Popen[bytes],
    interruption: _target.Interruption,
    limit_s: float = math.inf,
    asking: bool = False,
) -> None:
    """Wait until a py-spy has ended.

    asking: the first Ctrl-C asks it to end, which it does when its files are written.  The second
    one, and the limit, end it in any case.
    """
    deadline = time.monotonic() + limit_s
    asked = False
    while process.poll() is None:
        if interruption.insisted.is_set() or time.monotonic() > deadline:
            _end(process)
            return
        if asking and not asked and interruption.asked.is_set():
            process.send_signal(signal.SIGINT)
            asked = True
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a py-spy; one that waits for the disk may not even be killed, and is left."""
    for order in (process.terminate, process.kill):
        order()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_LAST_S)
            return


def _released(process: subprocess.Popen[bytes], pid: int, before: set[int]) -> list[int]:
    """Nobody is left stopped by a py-spy that did not end by itself; returns who was woken."""
    if process.poll() is None:
        _end(process)
    if process.returncode is not None and process.returncode >= 0:
        return []  # it has let everybody go: whoever stands still was stopped by others
    woken = _target.wake(pid, before)
    if woken:
        say(f"woken:       {', '.join(map(str, woken))}, which py-spy left stopped")
    return woken


def _said(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    said = (errors or lines or ["it gave no reason"])[-1].removeprefix("Error: ")
    return _words.clean(said)


def look_at(look: Look, py_spy: str, before: set[int]) -> None:
    """Sample a live study; a py-spy that dies leaves no process stopped behind."""
    pid, samples = look.options.pid, look.recording.draft(study_time.SAMPLES)
    command = [
        *(py_spy, "record", "--rate", str(look.options.rate), *study_time.FLAGS),
        *("--pid", str(pid), "--duration", str(look.options.duration), "--output", str(samples)),
    ]
    with look.recording.draft("log").open("w+b") as log:
        process = _started(command, log)
        try:
            _wait_for(process, look.interruption, asking=True)
        finally:
            woken = _released(process, pid, before)
        end_ns = time.monotonic_ns()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    if woken:
        look.facts["woken"] = woken
    if not samples.exists() or not study_time.wrote_its_product(said):
        look.code, look.reason = NO_PROFILE, f"no profile: py-spy failed: {_said(said)}"
        return
    _read_samples(look, samples, end_ns)


def _read_samples(look: Look, samples: Path, end_ns: int) -> None:
    known = marks_since(look, end_ns)
    capture = _time_profile.Capture(
        samples,
        known,
        {},
        look.begun_ns,
        (end_ns - look.begun_ns) / 1e9,
        look.options.rate,
        armed=look.armed is not None,
    )
    try:
        built = _time_profile.build(capture, look.title)
    except ValueError as error:
        look.code, look.reason = NO_PROFILE, f"no profile: {error}"
        return
    look.recording.keep(study_time.SAMPLES)
    look.profile = dataclasses.replace(built.profile, trials=inside(built.profile.trials))
    look.facts |= {"samples": built.samples, "rate_hz": look.options.rate}
    if built.lost:
        pids = ", ".join(map(str, built.lost))
        look.code, look.reason = CAPTURE_LOST, f"processes were never sampled: {pids}"
    if built.samples < _time_profile.FEWEST_SAMPLES:
        look.code = NO_PROFILE
        look.reason = f"only {built.samples} samples: a guess; look longer or raise --rate"
