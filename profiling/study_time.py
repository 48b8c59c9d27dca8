"""Where does a slow study spend its time? Its phases, by samples of its stacks.

The study runs unchanged in its own interpreter, which needs nothing of ours: py-spy looks at it
from outside, with all its threads and worker processes, waiting ones included.  A small hook in
the study's processes marks its trials.
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
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _blanked
import _launch
import _marks
import _record
import _study_end
import _target
import _time_profile
import _words
from _launch import Job, Outcome, Refusal
from _watch import Watcher

SAMPLES = "samples.speedscope.json"
MARKS = "marks"  # the folder that holds the hook's notes where no profile came of them
HOOK = Path(__file__).resolve().parent / "_hook"
TRIAL_TIMEOUT_S = 60
# py-spy holds every sample of every thread until it writes, some 0.3 kB each, and its file is
# several times as large in memory while it is read.
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
# Idle threads too: without them a thread that waits for the disk vanishes from the picture.
# Of py-spy's formats only this one keeps the order of the samples.
FLAGS = ("--idle", "--threads", "--subprocesses", "--full-filenames", "--format", "speedscope")


class Time:
    """Samples of the study's stacks, by py-spy."""

    program = "study_time"
    description = (__doc__ or "").split("\n")[0]
    package = None

    def __init__(self) -> None:
        self.py_spy = ""
        self.version = ""

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
            f"{MOST_ROUNDS:,} samples of each thread, an hour at 200 a second). py-spy keeps all "
            "samples in memory: a thread costs it about 0.2 GB an hour at 200 a second, some "
            "times that when they are written and read. Look at a longer study at a lower --rate",
        )
        parser.add_argument(
            "--nonblocking",
            action="store_true",
            help="read stacks while the study runs on: it is not slowed down, "
            "but some samples are torn or missing",
        )

    def check(self, job: Job) -> str:
        found = find_py_spy(sys.executable, os.environ.get("PATH"))
        if found is None:
            install = _launch.shell_line([sys.executable, "-m", "pip", "install", "py-spy"])
            raise Refusal(_launch.TOOL_MISSING, f"py-spy is missing; install it with:\n  {install}")
        try:
            for descriptor in _own_streams():
                os.close(descriptor)
        except OSError as error:
            raise Refusal(_launch.TOOL_MISSING, str(error)) from error
        self.py_spy = found
        self.version = try_py_spy(found, job)
        most = _words.seconds(most_s(job.options))
        return f"{job.options.rate} samples a second by {self.version}, for {most} at most"

    def record(self, job: Job, recording: _record.Recording) -> Outcome:
        with tempfile.TemporaryDirectory(
            prefix="study-marks-", ignore_cleanup_errors=True
        ) as folder:
            marks = Path(folder)
            supervisor = _record.Supervisor(
                lambda py_spy: _study_end.who(recording.folder, py_spy),
                lambda: _study_end.accompany(recording.folder, _goes_on),
            )
            launched_ns = time.monotonic_ns()
            with Watcher(marks) as watcher:
                code = self._run(job, recording, supervisor, marks)
            clock = _Clock(
                launched_ns,
                _study_end.ended_ns(recording.folder),
                supervisor.ended_ns or time.monotonic_ns(),
                watcher,
            )
            outcome = self._outcome(job, recording, supervisor, code)
            if outcome.reason and clock.cut:
                outcome.reason += "; the study went on to its end without it"
            elif outcome.reason == "":
                self._read(job, recording, outcome, marks, clock)
        return outcome

    def _run(
        self, job: Job, recording: _record.Recording, supervisor: _record.Supervisor, marks: Path
    ) -> int:
        """The study below py-spy; returns py-spy's exit code."""
        with recording.draft("log").open("wb") as messages:
            out, err = _own_streams()
            command = [
                *(self.py_spy, "record", "--rate", str(job.options.rate), *FLAGS),
                *("--duration", str(most_s(job.options))),
                *(("--nonblocking",) if job.options.nonblocking else ()),
                *("--output", str(recording.draft(SAMPLES))),
                *("--", *_OUTER_SHELL, str(_SHELL), str(recording.folder), str(out), str(err)),
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
        if study_code is None:  # py-spy gave up before it began: it must not run unseen
            supervisor.end_group()
        outcome = Outcome(
            study_code, supervisor.duration_s, supervisor.received, facts=self._facts(job, log)
        )
        wrote = code == 0 or wrote_its_product(log)
        if wrote and recording.draft(SAMPLES).exists() and outcome.facts["samples"]:
            return outcome
        if "No stack counts" in log or "No python processes found" in log or code == 0:
            outcome.reason = "no profile: the study ended before py-spy could take a sample"
            if study_code is None and supervisor.received is None:
                outcome.reason = (
                    "no profile: py-spy found no Python in time and the study was ended; "
                    "is the machine very busy, or the interpreter slow to start? Try again"
                )
        else:
            said = _record.describe_code(code) if code > 128 else _last_error(log)
            outcome.reason = f"no profile: py-spy failed: {said}"
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
        outcome.reason = f"{reason}; py-spy's samples are kept: {kept}" if kept.exists() else reason

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
        outcome.facts["samples"] = built.samples  # py-spy counts those of the witness, too
        if not built.samples:
            outcome.reason = "no profile: the study ended before py-spy could take a sample"
            return
        remarks = (*built.profile.remarks, *torn(outcome.facts))
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

    def _facts(self, job: Job, log: str) -> dict[str, Any]:
        counts = re.search(r"Samples: (\d+) Errors: (\d+)", log)
        return {
            "tool": self.version,
            "rate_hz": job.options.rate,
            "nonblocking": job.options.nonblocking,
            "samples": int(counts[1]) if counts else 0,
            "sampling_errors": int(counts[2]) if counts else None,
        }


def torn(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What to know of samples that were taken while the study ran on."""
    if not facts["nonblocking"]:
        return ()
    lost = facts["sampling_errors"] or 0
    return (
        f"the study was not paused for its samples: {lost} could not be read, others may be torn, "
        "and shares are less exact than without --nonblocking",
    )


def find_py_spy(executable: str, search_path: str | None) -> str | None:
    """py-spy beside this interpreter, else on the search path; None when it is at neither."""
    beside = shutil.which("py-spy", path=str(Path(executable).parent))
    return beside or shutil.which("py-spy", path=search_path)


def try_py_spy(py_spy: str, job: Job) -> str:
    """Let py-spy look at the study's interpreter, before the study starts; returns its version.

    Cost: two short processes. Raises Refusal when it is not permitted or does not know this Python.
    """
    sleep = [job.python.path, "-S", "-c", "import time; time.sleep(0.3)"]
    attempt = [py_spy, "record", "--idle", "--format", "raw", "--output", os.devnull, "--", *sleep]
    quiet = {
        "stdin": subprocess.DEVNULL,
        "capture_output": True,
        "text": True,
        "errors": "replace",
        "timeout": TRIAL_TIMEOUT_S,
    }
    try:
        version = subprocess.run([py_spy, "--version"], **quiet).stdout.strip()  # type: ignore[call-overload]  # options shared by two calls
        tried = subprocess.run(attempt, env=job.environ, **quiet)  # type: ignore[call-overload]  # as above
    except OSError as error:
        raise Refusal(_launch.TOOL_MISSING, f"{py_spy} does not run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise Refusal(
            _launch.TOOL_MISSING,
            f"{py_spy} did not end within {TRIAL_TIMEOUT_S} s; is the machine very busy? Try again",
        ) from error
    output = tried.stdout + tried.stderr
    if tried.returncode and not wrote_its_product(output):
        said = _last_error(output)
        raise Refusal(_launch.TOOL_MISSING, explain(said, job, sys.platform))
    return str(version)


def wrote_its_product(log: str) -> bool:
    """Whether py-spy wrote everything, even if it failed after that.

    It says so when the file is closed. What comes later is a race of its own (benfred/py-spy issue
    759): it asks how the study ended when one of its threads has asked already, and fails, with or
    without a word. The study's exit code does not come from py-spy here, so nothing is lost.
    """
    return "Wrote " in log


def explain(said: str, job: Job, system: str) -> str:
    """Why py-spy could not look at a process of its own, and what to do about it."""
    if system == "darwin" and os.geteuid() != 0:
        return f"py-spy needs root on macOS ({said}); run the same line with sudo in front"
    if re.search(r"permi(ssion|tted)|denied|EPERM", said, re.IGNORECASE):
        return (
            f"py-spy may not look into processes here ({said}). In a container: start it with "
            "--cap-add SYS_PTRACE. Elsewhere: `cat /proc/sys/kernel/yama/ptrace_scope` must "
            "say 0 or 1; `sudo sysctl kernel.yama.ptrace_scope=1` sets it"
        )
    return (
        f"py-spy cannot look into {job.python.path}, Python {job.python.version} ({said}); "
        "a newer py-spy or another --python may help"
    )


def _last_error(log: str) -> str:
    """The line in which py-spy says what is wrong (a stack trace may follow it)."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error\b", line, re.IGNORECASE)]
    reasons = [line for line in lines if re.match(r"(Reason|\d+): ", line) and "::" not in line]
    return "; ".join(errors[-1:] + reasons[:1]) or (lines[-1] if lines else "it gave no reason")


def _own_streams() -> tuple[int, int]:
    """Copies of this process's stdout and stderr for the study, apart from py-spy's messages."""
    copies = fcntl.fcntl(1, fcntl.F_DUPFD, 3), fcntl.fcntl(2, fcntl.F_DUPFD, 3)
    if max(copies) > 9:
        raise OSError(f"no free file descriptor below 10, which /bin/sh needs: {copies}")
    return copies


def armed(environ: dict[str, str], marks: Path, log: Path) -> dict[str, str]:
    """The study's environment, with the hook that marks its trials in a folder.

    The study begins when py-spy says in its log that it samples; until then the hook waits.
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
    py_spy_ended_ns: int
    watcher: Watcher

    @property
    def cut(self) -> bool:
        """Whether the study went on when py-spy had ended."""
        return self.ended_ns - self.py_spy_ended_ns >= 1e9 * _study_end.RUNNING_S


def _goes_on(study: int) -> None:
    """py-spy has ended, by itself or not: nobody looks at the study any more."""
    _target.wake(study, set())  # a dying py-spy may leave processes stopped
    _launch.say("study_time: py-spy has ended; the study goes on without it (Ctrl-C ends it)")


def most_s(options: argparse.Namespace) -> int:
    """Seconds that py-spy looks at most."""
    return int(options.most or max(1, MOST_ROUNDS // options.rate))


def _seconds(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= 31_536_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, from 1 on")
    return value


if __name__ == "__main__":
    raise SystemExit(_launch.main(Time()))
