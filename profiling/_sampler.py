"""Takes samples of a study's stacks without ever stopping it.

    python -E -s -S _sampler.py --rate 200 --duration 3600 --output FILE -- COMMAND...
    python -E -s -S _sampler.py --rate 200 --duration 30 --output FILE --pid PID

A process of its own above the study, which some systems ask for whoever wants to look.  Time is
cut into slots, and each slot has one round of samples at a random moment in it, so that nothing
that the study does in a rhythm is seen too often.  When it would take more than a small part of
the processors, it takes fewer samples and says so.  SIGINT and SIGTERM let it write and end; the
study goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _promptly
import _remote
from _promptly import Promptness
from _raw_samples import RawSamples
from _tree import Tree

LARGEST_SHARE = 0.03  # of all processors that it may run on
SAVED_S = 20.0  # of that share, for times that cost more, as imports
SLOWEST_HZ = 20.0
_WEIGH_S = 2.0  # between two looks at its own cost
_FIND_S, _FIND_SOON_S = 0.05, 0.01  # between two searches for new processes


class Sampler:
    """One recording."""

    def __init__(self, rate: float, duration_s: float, root: int, waiting: int = 0) -> None:
        self.samples = RawSamples()
        self.tree = Tree(root, self.samples.frames)
        self.stopped = False
        self._waiting = waiting
        self._asked_hz = rate
        self._slowest_hz = rate
        self._saved_s = SAVED_S * LARGEST_SHARE * processors()
        self._period_s = 1.0 / rate
        self._duration_s = duration_s
        self._find_at = 0.0
        self._weighed = (0.0, 0.0)
        self._said = False
        self._promptness = Promptness()

    @property
    def forsaken(self) -> bool:
        """Whether nobody waits for the samples any more."""
        return self._waiting not in (0, os.getppid())

    def run(self, study: subprocess.Popen[bytes] | None) -> None:
        """Sample until the study has ended, the time is over, or somebody says so."""
        slot = begun = time.monotonic()
        self._weighed = begun, time.process_time()
        while not self.stopped and slot < begun + self._duration_s:
            if not self._alive(study):
                return
            moment = slot + random.random() * self._period_s
            time.sleep(max(moment - time.monotonic(), 0.0))
            now = time.monotonic()
            self._promptness.came(now - moment)
            if now > slot + self._period_s:  # late: the slots in between have no round
                slot += (now - slot) // self._period_s * self._period_s
            self._round(slot)
            slot += self._period_s
            if now >= self._find_at:
                self.tree.find()
                wait_s = _FIND_SOON_S if self.tree.starting or not self._said else _FIND_S
                self._find_at = now + wait_s
            if now - self._weighed[0] >= _WEIGH_S:
                self._weigh(now)

    def _alive(self, study: subprocess.Popen[bytes] | None) -> bool:
        if self.forsaken:
            return False
        if study is not None:
            return study.poll() is None
        return self.tree.root in self.tree.members or not self.tree.ended

    def _round(self, slot: float) -> None:
        readable = [one for one in self.tree.members.values() if one.process is not None]
        if not readable:
            return
        self.samples.rounds.append(slot)
        for one in readable:
            stacks, missed = self.tree.look(one)
            self.samples.add(one.pid, stacks, missed)
        if not self._said:
            self._said = True
            say(f"Sampling process {readable[0].pid} {self._asked_hz:g} times a second, unpaused")

    def _weigh(self, now: float) -> None:
        """Take fewer samples if they cost too much; more again when they cost little."""
        used = time.process_time()
        passed_s, used_s = now - self._weighed[0], used - self._weighed[1]
        self._weighed = now, used
        allowed = LARGEST_SHARE * processors()
        most_s = SAVED_S * allowed
        saved_s = self._saved_s + passed_s * allowed - used_s
        self._saved_s = min(max(saved_s, -passed_s * allowed), most_s)
        before = rate = 1.0 / self._period_s
        if self._saved_s < 0.0 and rate > SLOWEST_HZ:
            rate, self._saved_s = max(rate / 2, SLOWEST_HZ), 0.0
        elif self._saved_s > most_s / 4 and used_s < 0.4 * passed_s * allowed:
            rate = min(rate * 2, self._asked_hz)
        if rate != before:
            self._period_s = 1.0 / rate
            self._slowest_hz = min(self._slowest_hz, rate)

    def facts(self, begun: float) -> dict[str, Any]:
        """How it went, for the report."""
        wall_s = max(time.monotonic() - begun, 1e-9)
        rounds = self.samples.rounds
        seen_s = rounds[-1] - rounds[0] if len(rounds) > 1 else 0.0
        return {
            "samples": self.samples.samples,
            "missed": self.samples.missed,
            "torn": self.tree.torn,
            "cpu_ratio": round(time.process_time() / wall_s, 4),
            "reached_hz": round((len(rounds) - 1) / seen_s, 1) if seen_s > 0 else None,
            "late_ratio": round(self._promptness.share_late(), 4),
            "came_first": self._promptness.first,
            "lowered_to_hz": self._slowest_hz if self._slowest_hz < self._asked_hz else None,
            "unread": [[one.pid, one.why] for one in self.tree.everybody().values() if one.why],
        }


def processors() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Record what the command line names; returns the exit code."""
    options = _parser().parse_args()
    if not _remote.available():
        say("Error: this system has no process_vm_readv")
        return 1
    if options.pid is not None:
        return _record(options, None)
    waiting = os.getpid()
    child = os.fork()
    if child:
        return _wait_for(child)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    # Descriptors stay open: some of them are the study's streams.
    study = subprocess.Popen(command, close_fds=False)
    os.setsid()
    return _record(options, study, waiting)


def _wait_for(child: int) -> int:
    """Stand for the sampler in the session of the study; returns its exit code.

    The scheduler shares processors by session.  In the study's own a sampler would come late just
    when the study works, and would take its time from it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(child, number))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _record(
    options: argparse.Namespace, study: subprocess.Popen[bytes] | None, waiting: int = 0
) -> int:
    """Sample and write; waiting: the process that waits for this one, if any."""
    root = study.pid if study else options.pid
    sampler = Sampler(options.rate, options.duration, root, waiting)

    def stop(*unused: object) -> None:
        sampler.stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    _most_files()
    _promptly.prefer()  # the study has been started already and keeps its priority
    gc.disable()  # nothing here makes circles, and a collection holds rounds up
    begun = time.monotonic()
    sampler.run(study)
    return 1 if sampler.forsaken else _write(sampler, begun, options.output)


def _most_files() -> None:
    """Two are open for each thread that is looked at. The study has been started already."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _write(sampler: Sampler, begun: float, output: Path) -> int:
    facts = sampler.facts(begun)
    if not facts["samples"]:
        reasons = [f"process {pid}: {why}" for pid, why in facts["unread"]]
        say(f"Error: No python processes found; {'; '.join(reasons)}".rstrip("; "))
        return 1
    try:
        sampler.samples.write(output, sampler.tree.everybody(), facts)
    except OSError as error:
        say(f"Error: {output}: {error.strerror}")
        return 1
    say(f"Wrote {output}. Samples: {facts['samples']} Errors: {facts['missed']}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="_sampler.py", allow_abbrev=False)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--duration", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pid", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
