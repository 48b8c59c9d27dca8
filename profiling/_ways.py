"""The two ways to take samples: our own sampler, which never stops the study, and py-spy.

Ours knows the insides of CPython 3.11 to 3.13 on Linux (`_layouts.py`) and is tried on the very
interpreter before it is used: it must read a stack that is known.  Everything else is py-spy's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _launch
import _layouts
import _promptly
import _py_spy
import _remote
import _symbols
from _code_objects import Frame
from _launch import Job, Refusal
from _looked_into import Process, Starting

_SAMPLER = Path(__file__).with_name("_sampler.py")
_TRIES, _AGAIN_S = 200, 0.02
_FEW_MISSED = 0.001  # of all looks
# Waits where no other interpreter of the same kind would: the stack is known to the line.
_KNOWN = """
import sys
def inner():
    print("ready", flush=True)
    sys.stdin.read()
def outer():
    inner()
outer()
"""
_KNOWN_STACK = [("inner", "<string>", 5), ("outer", "<string>", 7), ("<module>", "<string>", 8)]


class Unable(Exception):
    """Our sampler cannot read this interpreter; the message says why."""


@dataclass(frozen=True)
class Way:
    """How samples are taken.

    tool: in words, with its version. command: what starts it, before its options, which both have
    alike. pauses: whether it stops the study for each sample.
    """

    tool: str
    command: tuple[str, ...]
    pauses: bool

    @property
    def called(self) -> str:
        return "py-spy" if self.pauses else "the sampler"

    def line(self, rate: int, duration_s: int, output: Path) -> list[str]:
        """The command line, without whom to look at."""
        numbers = ("--rate", str(rate), "--duration", str(duration_s))
        return [*self.command, *numbers, "--output", str(output)]


def own() -> Way:
    """Our own sampler, run by this interpreter; nothing of site-packages is imported."""
    return Way("its own sampler", (sys.executable, "-E", "-s", "-S", str(_SAMPLER)), False)


def by_py_spy(path: str, version: str) -> Way:
    return Way(version, (path, "record", *_py_spy.FLAGS), True)


def for_study(job: Job) -> tuple[Way, str]:
    """The way to look at a study that is still to be started, and why it is not ours, if so.

    Cost: one or two short processes. Raises Refusal where nothing may look, or py-spy is missing.
    """
    reason = ""
    if not job.options.pause:
        try:
            try_own(job)
        except Unable as error:
            reason = str(error)
        else:
            return own(), ""
    try:
        path = _py_spy.found()
        return by_py_spy(path, _py_spy.try_py_spy(path, job)), reason
    except Refusal as refusal:
        if not reason:
            raise
        raise Refusal(refusal.code, f"{reason}, and {refusal}") from refusal


def try_own(job: Job) -> None:
    """Read the stack of the study's interpreter as it runs a few lines that are known.

    Cost: one short process. Raises Unable, or Refusal where the system forbids it.
    """
    if not _remote.available():
        raise Unable("our sampler knows Linux alone")
    line = [job.python.path, "-S", "-c", _KNOWN]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(
            line, env=job.environ, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        ) as known:
            try:
                assert known.stdout is not None
                known.stdout.readline()
                _compare(known.pid, job)
            finally:
                known.kill()
    except OSError as error:
        raise Unable(f"{job.python.path} does not start ({error})") from error


def _compare(pid: int, job: Job) -> None:
    stack = None
    try:
        for _ in range(_TRIES):
            stack = _stack_of(pid)
            if stack == _KNOWN_STACK:
                return
            time.sleep(_AGAIN_S)
    except (_layouts.Unknown, _symbols.NoPython, _remote.Gone) as error:
        said = str(error) or f"{job.python.path}"
        raise Unable(f"our sampler does not know {said}") from error
    except _remote.Forbidden as error:
        said = _py_spy.explain(f"permission: {error}", job, sys.platform)
        raise Refusal(_launch.TOOL_MISSING, said.replace("py-spy", "The sampler", 1)) from error
    raise Unable(f"our sampler reads a wrong stack from {job.python.path} ({stack})")


def _stack_of(pid: int) -> list[Frame] | None:
    """The one thread's stack, leaf first; None where it could not be read this time."""
    numbers: dict[Frame, int] = {}
    try:
        process = Process(pid, numbers)
    except Starting:
        return None
    try:
        stacks, _ = process.look()
    except _remote.Torn:
        return None
    finally:
        process.close()
    frames = list(numbers)
    return [frames[i] for i in stacks.get(pid, ())]


# --- how it went


def facts_in(path: Path) -> dict[str, Any]:
    """What our sampler tells of itself in its file; empty where there is nothing."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            tail = file.read().decode("utf-8", "replace")
    except OSError:
        return {}
    try:
        told = json.loads(tail.rpartition('\n"facts": ')[2].rstrip().removesuffix("}"))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


_TAIL_BYTES = 1 << 16


def remarks(way: Way, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of the report has to know of how the samples were taken."""
    if way.pauses:
        return ("py-spy paused the study for each sample, which made it slower",)
    missed, samples = facts.get("missed") or 0, facts.get("samples") or 0
    cost = f"{facts.get('cpu_ratio') or 0:.1%} of one processor"
    found = [
        f"the study was not paused: the sampler took {cost} beside it, and {missed:,} of "
        f"{samples + missed:,} looks at a thread could not be read"
    ]
    if missed > _FEW_MISSED * (samples + missed):
        found[0] += "; what was seen before stands for them"
    late = facts.get("late_ratio") or 0.0
    if late > _promptly.OFTEN:
        found.append(
            f"the machine was busy: {late:.1%} of the samples came late, rather when the study "
            f"waited, so its waits may be told too long"
        )
    if facts.get("lowered_to_hz"):
        found.append(
            f"down to {facts['lowered_to_hz']:g} samples a second were taken instead of "
            f"{facts.get('rate_hz')}, to leave the processors to the study"
        )
    found += [
        f"process {pid} could not be read and its time is missing ({why}); --pause may read it"
        for pid, why in facts.get("unread") or ()
    ]
    return tuple(found)
