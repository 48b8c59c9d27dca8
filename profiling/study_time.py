"""Where does a slow study spend its time? Its phases, by samples of its stacks.

The study runs unchanged in its own interpreter, which needs nothing of ours: a sampler reads its
stacks from outside, with all its threads and worker processes, waiting ones included, and never
stops it.  Where that cannot be done py-spy does it, which pauses the study for each sample
(`_ways.py`).  A small hook in the study's processes marks its trials.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _beside
import _blanked
import _launch
import _marks
import _py_spy
import _record
import _study_end
import _target
import _time_profile
import _ways
import _words
from _launch import Job, Outcome, Refusal
from _watch import Watcher

SAMPLES = "samples.speedscope.json"
MARKS = "marks"  # the folder that holds the hook's notes where no profile came of them
HOOK = Path(__file__).resolve().parent / "_hook"
# All samples are held until they are written, some 0.3 kB each, and their file is several times as
# large in memory while it is read.
MOST_ROUNDS = 720_000
_SHELL = Path(__file__).with_name("_keep_exit_code.sh")
# py-spy kills its own child as soon as it sees no Python any more: not the shell that keeps the
# exit code, but another one around it. (`exit` keeps it from becoming the inner one.)
# The witness runs beside it: $0 is its interpreter, $1 its script.
_OUTER_SHELL = (
    *("/bin/sh", "-c"),
    'trap : HUP INT TERM QUIT; "$0" -I -S "$1" "$3" & shift; /bin/sh "$@"; exit $?',
    sys.executable,
    str(Path(__file__).with_name("_witness.py")),
)


class Time:
    """Samples of the study's stacks."""

    program = "study_time"
    description = (__doc__ or "").split("\n")[0]
    package = None

    def __init__(self) -> None:
        self.way = _ways.own()

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--rate",
            type=_launch.rate,
            default=200,
            metavar="HZ",
            help="samples a second, 1 to 1000 (default: 200)",
        )
        parser.add_argument(
            "--most",
            type=_seconds,
            metavar="S",
            help="look at the first S seconds; the study then runs on to its end unseen (default: "
            f"{MOST_ROUNDS:,} samples of each thread, an hour at 200 a second). All samples are "
            "kept in memory: a busy thread costs up to 0.2 GB an hour at 200 a second, some "
            "times that when they are written and read. Look at a longer study at a lower --rate",
        )
        parser.add_argument(
            "--pause",
            action="store_true",
            help="let py-spy take the samples, which stops the study for each of them and makes it "
            "slower; without this it does so only where our own sampler cannot",
        )

    def check(self, job: Job) -> str:
        try:
            for descriptor in _own_streams():
                os.close(descriptor)
        except OSError as error:
            raise Refusal(_launch.TOOL_MISSING, str(error)) from error
        self.way, reason = _ways.for_study(job)
        most = _words.seconds(most_s(job.options))
        manner = f"{job.options.rate} samples a second by {self.way.tool}, for {most} at most"
        if reason:
            return f"{manner}, with a pause for each: {reason}"
        return manner

    def record(self, job: Job, recording: _record.Recording) -> Outcome:
        with tempfile.TemporaryDirectory(
            prefix="study-marks-", ignore_cleanup_errors=True
        ) as folder:
            marks = Path(folder)
            supervisor = _record.Supervisor(
                lambda sampler: _study_end.who(recording.folder, sampler),
                lambda: _study_end.accompany(recording.folder, self._goes_on),
            )
            beside, launched_ns = _beside.Beside(), time.monotonic_ns()
            with Watcher(marks) as watcher:
                code = self._run(job, recording, supervisor, marks)
            others = beside.facts(supervisor.session)
            clock = _Clock(
                launched_ns,
                _study_end.ended_ns(recording.folder),
                supervisor.ended_ns or time.monotonic_ns(),
                watcher,
            )
            outcome = self._outcome(job, recording, supervisor, code)
            outcome.facts |= others
            if outcome.reason and clock.cut:
                outcome.reason += "; the study went on to its end without it"
            elif outcome.reason == "":
                self._read(job, recording, outcome, marks, clock)
        return outcome

    def _run(
        self, job: Job, recording: _record.Recording, supervisor: _record.Supervisor, marks: Path
    ) -> int:
        """The study below its sampler; returns the sampler's exit code."""
        with recording.draft("log").open("wb") as messages:
            out, err = _own_streams()
            output = recording.draft(SAMPLES)
            command = [
                *self.way.line(job.options.rate, most_s(job.options), output),
                *("--", *(_OUTER_SHELL if self.way.pauses else ("/bin/sh",))),
                *(str(_SHELL), str(recording.folder), str(out), str(err)),
                *job.command,
            ]
            environ = armed(job.environ, marks, recording.draft("log"))
            try:
                with _study_end.Finisher(recording.folder, supervisor.hurry):
                    return supervisor.run(
                        command, stdout=messages, stderr=messages, env=environ, cwd=job.folder
                    )
            finally:
                os.close(out)
                os.close(err)

    def _outcome(
        self, job: Job, recording: _record.Recording, supervisor: _record.Supervisor, code: int
    ) -> Outcome:
        log = recording.draft("log").read_text(encoding="utf-8", errors="replace")
        study_code = _study_end.code(recording.folder)
        if study_code is None:  # the sampler gave up before it began: it must not run unseen
            supervisor.end_group()
        outcome = Outcome(
            study_code,
            supervisor.duration_s,
            supervisor.received,
            facts=self._facts(job, recording, log),
        )
        wrote = code == 0 or _py_spy.wrote_its_product(log)
        if wrote and recording.draft(SAMPLES).exists() and outcome.facts["samples"]:
            return outcome
        if "No stack counts" in log or "No python processes found" in log or code == 0:
            outcome.reason = (
                f"no profile: the study ended before {self.way.called} could take a sample"
            )
            if study_code is None and supervisor.received is None:
                outcome.reason = (
                    f"no profile: {self.way.called} found no Python in time and the study was "
                    "ended; is the machine very busy, or the interpreter slow to start? Try again"
                )
        else:
            said = _record.describe_code(code) if code > 128 else _py_spy.last_error(log)
            outcome.reason = f"no profile: {self.way.called} failed: {said}"
            if study_code is None and supervisor.received is None:
                outcome.reason += "; the study was ended before it had begun"
        return outcome

    def _read(
        self, job: Job, recording: _record.Recording, outcome: Outcome, marks: Path, clock: _Clock
    ) -> None:
        """Keep the samples, then make a profile of them: whatever fails, they can be read again."""
        try:
            with contextlib.suppress(OSError, ValueError):
                _blanked.in_file(recording.draft(SAMPLES))
            samples = recording.keep(SAMPLES)
            self._attribute(job, samples, outcome, marks, clock)
            return
        except KeyboardInterrupt:
            outcome.received, outcome.after_study = signal.SIGINT, True
            reason = "interrupted while the samples were read"
        except Exception as error:  # hours of recording are worth more than a traceback
            reason = f"no profile: {_launch.in_words(error)}"
        with contextlib.suppress(OSError):
            shutil.copytree(marks, recording.folder / MARKS, dirs_exist_ok=True)
        outcome.profile = None
        kept = recording.folder / SAMPLES
        outcome.reason = f"{reason}; the samples are kept: {kept}" if kept.exists() else reason

    def _attribute(
        self, job: Job, samples: Path, outcome: Outcome, marks: Path, clock: _Clock
    ) -> None:
        """Turn the samples into a profile; says in the outcome what came of it."""
        known = _marks.read(marks)
        origin_ns = _time_profile.origin_ns(known, clock.launched_ns)
        capture = _time_profile.Capture(
            samples,
            known,
            _time_profile.shifted(clock.watcher.lives(0), origin_ns),
            origin_ns,
            max(clock.ended_ns - origin_ns, 0) / 1e9,
            job.options.rate,
            cut=clock.cut,
            since_s=time.time() - (time.monotonic_ns() - clock.launched_ns) / 1e9,
        )
        built = _time_profile.build(capture, _launch.shell_line(["python", *job.words]))
        outcome.duration_s = capture.end_s
        outcome.facts["samples"] = built.samples  # the tool counts more: a witness, a held start
        if not built.samples:
            outcome.reason = self._too_short()
            return
        remarks = (*built.profile.remarks, *_ways.remarks(self.way, outcome.facts))
        outcome.profile = dataclasses.replace(built.profile, remarks=remarks)
        if built.samples < _time_profile.FEWEST_SAMPLES:
            outcome.too_few = True
            outcome.reason = (
                f"only {built.samples} samples: a guess, no measurement; "
                "let the study run longer or raise --rate"
            )
        if built.lost:
            outcome.lost = True
            pids = ", ".join(map(str, built.lost))
            outcome.reason = f"the capture of worker processes is lost: {pids}"

    def _facts(self, job: Job, recording: _record.Recording, log: str) -> dict[str, Any]:
        facts = {
            "tool": self.way.tool,
            "rate_hz": job.options.rate,
            "paused": self.way.pauses,
            **({} if self.way.pauses else _ways.facts_in(recording.draft(SAMPLES))),
        }
        counts = re.search(r"Samples: (\d+) Errors: (\d+)", log)
        if counts is not None:
            facts |= {"samples": int(counts[1]), "missed": int(counts[2])}
        return {"samples": 0, **facts}

    def _too_short(self) -> str:
        return f"no profile: the study ended before {self.way.called} could take a sample"

    def _goes_on(self, study: int) -> None:
        """The sampler has ended, by itself or not: nobody looks at the study any more."""
        if self.way.pauses:
            _target.wake(study, set())  # a dying py-spy may leave processes stopped
        _launch.say(
            f"study_time: {self.way.called} has ended; the study goes on without it "
            "(Ctrl-C ends it)"
        )


def _own_streams() -> tuple[int, int]:
    """Copies of this process's stdout and stderr for the study, apart from py-spy's messages."""
    copies = fcntl.fcntl(1, fcntl.F_DUPFD, 3), fcntl.fcntl(2, fcntl.F_DUPFD, 3)
    if max(copies) > 9:
        raise OSError(f"no free file descriptor below 10, which /bin/sh needs: {copies}")
    return copies


def armed(environ: dict[str, str], marks: Path, log: Path) -> dict[str, str]:
    """The study's environment, with the hook that marks its trials in a folder.

    The study begins when the sampler says in its log that it samples; until then the hook waits.
    Variables whose names are none for a shell pass the shells in a file: those drop them.
    """
    before = environ.get("PYTHONPATH")
    path = f"{HOOK}{os.pathsep}{before}" if before else str(HOOK)
    prepared = {
        **environ,
        "PYTHONPATH": path,
        "VELOCITY_PROFILE_MARKS": str(marks),
        "VELOCITY_PROFILE_GATE": str(log),
    }
    odd = [name for name in environ if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)]
    if odd:
        names = marks / "names"
        names.write_bytes(b"\0".join(os.fsencode(f"{name}={environ[name]}") for name in odd))
        prepared["VELOCITY_PROFILE_NAMES"] = str(names)
    return prepared


@dataclass(frozen=True)
class _Clock:
    """Monotonic nanoseconds at which things happened, and who saw the threads."""

    launched_ns: int
    ended_ns: int
    sampler_ended_ns: int
    watcher: Watcher

    @property
    def cut(self) -> bool:
        """Whether the study went on when the sampler had ended."""
        return self.ended_ns - self.sampler_ended_ns >= 1e9 * _study_end.RUNNING_S


def most_s(options: argparse.Namespace) -> int:
    """Seconds that are looked at, at most."""
    return int(options.most or max(1, MOST_ROUNDS // options.rate))


def _seconds(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= 31_536_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, from 1 on")
    return value


if __name__ == "__main__":
    raise SystemExit(_launch.main(Time()))
