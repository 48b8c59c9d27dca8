"""The time of a live study: by our own sampler, or by py-spy, which must leave nobody stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

import _layouts
import _py_spy
import _remote
import _symbols
import _target
import _time_profile
import _ways
import _words
import study_time
from _launch import CAPTURE_LOST, NO_PROFILE, TOOL_MISSING, Refusal, say
from _look import Look, inside, marks_since
from _looked_into import Process, Starting
from _resident import is_python
from _ways import Way

_TRIES, _TRY_AGAIN_S = 50, 0.05  # of our own sampler, at a process that may be just starting
_DUMP_S = 20.0  # for one look of py-spy; more, and the study waits for the disk
_AGAIN_S = 0.3  # and longer before each further look
_LAST_S = 3.0  # between the orders to end, the last of which cannot be refused


def checked(
    pid: int, pause: bool, line: str, before: set[int], interruption: _target.Interruption
) -> Way:
    """The way to look into a process, tried on it; raises Refusal.

    pause: py-spy is asked for. line: the command to type again.
    """
    if not pause and _remote.available():
        reason = _why_not_own(pid, line)
        if not reason:
            return _ways.own()
        say(f"sampler:     py-spy, with a pause for each sample: {reason}")
    path = _py_spy.found()
    _try_py_spy(path, pid, line, before, interruption)
    return _ways.by_py_spy(path, "py-spy")


def _why_not_own(pid: int, line: str) -> str:
    """Why our sampler cannot read a process; empty when it can."""
    for _ in range(_TRIES):  # an interpreter that is just starting is not yet one
        try:
            process = Process(pid, {})
            try:
                stacks, missed = process.look()
            finally:
                process.close()
            if stacks and not missed:
                return ""
        except (Starting, _remote.Torn):
            pass
        except _remote.Forbidden as error:
            raise _target.forbidden(_target.facts_of(pid), line, str(error)) from error
        except _layouts.Unknown as error:
            return f"our sampler does not know {error}"
        except (_symbols.NoPython, _remote.Gone):
            _target.find(pid)
            if not is_python(pid):
                raise _target.not_python(pid, "no interpreter in it") from None
        time.sleep(_TRY_AGAIN_S)
    return "our sampler could not read its stacks"


def _try_py_spy(
    py_spy: str, pid: int, line: str, before: set[int], interruption: _target.Interruption
) -> None:
    """Let py-spy look once; raises Refusal."""
    said = ""
    for attempt in range(3):  # an interpreter that is just starting is not yet one
        code, output = _dump(py_spy, pid, before, interruption)
        if code == 0 or interruption.asked.is_set():
            return
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


def look_at(look: Look, way: Way, before: set[int]) -> None:
    """Sample a live study; a py-spy that dies leaves no process stopped behind."""
    pid, samples = look.options.pid, look.recording.draft(study_time.SAMPLES)
    command = [*way.line(look.options.rate, look.options.duration, samples), "--pid", str(pid)]
    woken: list[int] = []
    with look.recording.draft("log").open("w+b") as log:
        process = _started(command, log)
        try:
            _wait_for(process, look.interruption, asking=True)
        finally:
            if way.pauses:
                woken = _released(process, pid, before)
            elif process.poll() is None:
                _end(process)
        end_ns = time.monotonic_ns()
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    if woken:
        look.facts["woken"] = woken
    look.facts |= {"tool": way.tool, "paused": way.pauses, "rate_hz": look.options.rate}
    if not samples.exists() or not _py_spy.wrote_its_product(said):
        look.code, look.reason = NO_PROFILE, f"no profile: {way.called} failed: {_said(said)}"
        return
    if not way.pauses:
        look.facts |= _ways.facts_in(samples)
    _read_samples(look, way, samples, end_ns)


def _read_samples(look: Look, way: Way, samples: Path, end_ns: int) -> None:
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
    look.profile = dataclasses.replace(
        built.profile,
        trials=inside(built.profile.trials),
        remarks=(*built.profile.remarks, *_ways.remarks(way, look.facts)),
    )
    look.facts["samples"] = built.samples
    if built.lost:
        pids = ", ".join(map(str, built.lost))
        look.code, look.reason = CAPTURE_LOST, f"processes were never sampled: {pids}"
    if built.samples < _time_profile.FEWEST_SAMPLES:
        look.code = NO_PROFILE
        look.reason = f"only {built.samples} samples: a guess; look longer or raise --rate"
