"""What both profilers share: options, checks before the study starts, header and summary."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol

import _interpreter
import _record

OK, BAD_USAGE, STUDY_FAILED, TOOL_MISSING, NO_PROFILE = 0, 2, 3, 4, 5
HOT_PATH_SECONDS = 5
REPOSITORY = Path(__file__).resolve().parent.parent

_EXIT_CODES = """\
exit codes:
  0  the study ended well and its profile was written
  2  the command line is wrong (no such script, a rate out of range, ...)
  3  the study failed; its own exit code is printed, its profile is kept
  4  a tool is missing or not permitted here; the message says what to do
  5  the study ended, but no profile of it could be written
  128 + n  interrupted by signal n (130 after Ctrl-C); what was recorded until then is kept
"""


class Refusal(Exception):
    """A reason to stop, for the user to read, with the exit code it leads to."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Job:
    """What is to be run, by which interpreter, where."""

    name: str
    words: list[str]  # everything after the interpreter
    python: _interpreter.Interpreter
    environ: dict[str, str]
    folder: Path  # working directory of the study
    options: argparse.Namespace

    @property
    def command(self) -> list[str]:
        return [self.python.path, *self.words]


@dataclass
class Outcome:
    """How a recording went."""

    study_code: int | None  # None: not known
    duration_s: float = 0.0
    received: int | None = None  # the signal that ended it early
    product: Path | None = None
    reason: str = ""  # why there is no product, or what it lacks
    facts: dict[str, Any] = field(default_factory=dict)  # for run.json


class Profiler(Protocol):
    """One way to look at a study."""

    program: str
    description: str

    @property
    def package(self) -> str | None:
        """What must be importable in the study's own interpreter."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Options that only this profiler has."""

    def check(self, job: Job) -> str:
        """Make sure the recording can work; returns it in words. Raises Refusal."""

    def record(self, job: Job, recording: _record.Recording) -> Outcome:
        """Run the study to its end and write the profile."""


def main(profiler: Profiler, arguments: Sequence[str] | None = None) -> int:
    """Profile what the command line names; returns the exit code."""
    parser = _parser(profiler)
    options = parser.parse_args(arguments)
    try:
        job = _job(options, profiler)
        say(f"interpreter: {job.python.path} (Python {job.python.version}; {job.python.origin})")
        manner = profiler.check(job)
        now = datetime.now(UTC)
        recording = _recording(options.output, job.name, now)
        say(f"recording:   {manner}; Ctrl-C ends the study and keeps what was recorded")
    except Refusal as refusal:
        say(f"{profiler.program}: {refusal}")
        return refusal.code
    except KeyboardInterrupt:  # the study has not started yet
        say(f"{profiler.program}: interrupted")
        return 130
    return _record_and_report(profiler, job, recording, now)


def say(line: str) -> None:
    """Print a line of ours; stdout belongs to the study."""
    sys.stdout.flush()
    print(line, file=sys.stderr, flush=True)


def rate(text: str) -> int:
    """A sampling rate in 1/s, from the command line."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"{self.prog}: {message}; see --help\n")


def _parser(profiler: Profiler) -> argparse.ArgumentParser:
    program = f"python profiling/{profiler.program}.py"
    parser = _Parser(
        prog=program,
        usage=f"{program} [options] path/to/study.py [its arguments]\n"
        f"       {program} [options] --hot-path NAME before|after",
        description=profiler.description,
        epilog=f"examples:\n  {program} study.py --trials 100\n"
        f"  {program} --python .venv/bin/python --output /tmp/profiles study.py\n"
        f"  {program} --hot-path stores.AddBatch after\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--python",
        metavar="EXE",
        help="the interpreter that runs the study (default: the caller's active environment)",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path(".profiles"),
        help="where the folder <study>-<UTC> is made (default: .profiles)",
    )
    parser.add_argument(
        "--hot-path",
        nargs=2,
        metavar=("NAME", "before|after"),
        help=f"profile one side of a hot path of this repository for {HOT_PATH_SECONDS} seconds",
    )
    profiler.add_options(parser)
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="study.py ...",
        help="the study's script; everything after it belongs to the study",
    )
    return parser


def _job(options: argparse.Namespace, profiler: Profiler) -> Job:
    words = list(options.command)
    if words[:1] == ["--"]:
        del words[0]
    if options.hot_path:
        return _hot_path_job(options, profiler, words)
    if not words:
        raise Refusal(BAD_USAGE, "which script? Give the path of a study's script; see --help")
    script = Path(words[0])
    if script.is_dir():
        raise Refusal(BAD_USAGE, f"{script} is a folder; give the path of the study's script")
    if not script.exists():
        raise Refusal(BAD_USAGE, f"there is no script {script} (looked in {Path.cwd()})")
    if not os.access(script, os.R_OK):
        raise Refusal(BAD_USAGE, f"{script} cannot be read; check its permissions")
    environ = _interpreter.callers_environ(os.environ, sys.prefix)
    python = _python(options.python, environ, profiler.package)
    return Job(script.stem, words, python, environ, Path.cwd(), options)


def _hot_path_job(options: argparse.Namespace, profiler: Profiler, rest: list[str]) -> Job:
    name, side = options.hot_path
    if side not in ("before", "after"):
        raise Refusal(BAD_USAGE, f"--hot-path {name} {side}: the side is either before or after")
    if rest or options.python:
        surplus = " ".join(rest) if rest else "--python"
        raise Refusal(BAD_USAGE, f"--hot-path takes no {surplus}: it runs this repository's code")
    seconds = str(HOT_PATH_SECONDS)
    words = ["-m", "benchmarks", "drive", name, side, "--seconds", seconds]
    environ = dict(os.environ)
    python = _probe(sys.executable, "this script's own, for a hot path", environ, profiler.package)
    return Job(f"{name}-{side}", words, python, environ, REPOSITORY, options)


def _python(
    asked: str | None, environ: dict[str, str], package: str | None
) -> _interpreter.Interpreter:
    try:
        if asked is None:
            path, origin = _interpreter.choose(environ, sys.prefix)
        else:
            path, origin = _interpreter.named(asked, environ), "--python"
    except _interpreter.InterpreterError as error:
        raise Refusal(BAD_USAGE, str(error)) from error
    return _probe(path, origin, environ, package)


def _probe(
    path: str, origin: str, environ: dict[str, str], package: str | None
) -> _interpreter.Interpreter:
    try:
        return _interpreter.probe(path, origin, environ, package)
    except _interpreter.InterpreterError as error:
        raise Refusal(BAD_USAGE, str(error)) from error


def _recording(parent: Path, name: str, now: datetime) -> _record.Recording:
    try:
        recording = _record.Recording.create(parent.absolute(), name, now)
        recording.draft("writable").touch()
        recording.sweep()
    except OSError as error:
        raise Refusal(
            BAD_USAGE, f"cannot write to {parent} ({error.strerror}); choose another --output"
        ) from error
    return recording


def _record_and_report(
    profiler: Profiler, job: Job, recording: _record.Recording, now: datetime
) -> int:
    try:
        outcome = profiler.record(job, recording)
    except OSError as error:
        outcome = Outcome(None, reason=f"the profiler could not be run: {error}")
    finally:
        recording.sweep()
    code = _exit_code(outcome)
    try:
        recording.write_json("run.json", _facts(profiler, job, outcome, now, code))
    except OSError as error:
        say(f"{profiler.program}: run.json was not written: {error}")
    _summary(profiler, outcome, recording)
    return code


def _exit_code(outcome: Outcome) -> int:
    if outcome.received is not None:
        return 128 + outcome.received
    if outcome.study_code:
        return STUDY_FAILED
    if outcome.product is None or outcome.study_code is None:
        return NO_PROFILE
    return OK


def _facts(
    profiler: Profiler, job: Job, outcome: Outcome, now: datetime, code: int
) -> dict[str, Any]:
    return {
        "profiler": profiler.program,
        "command": job.command,
        "working_directory": str(job.folder),
        "interpreter": job.python.path,
        "python_version": job.python.version,
        "interpreter_origin": job.python.origin,
        "platform": platform.platform(),
        "start_utc": now.isoformat(timespec="seconds"),
        "duration_s": round(outcome.duration_s, 3),
        "study_exit_code": outcome.study_code,
        "signal": outcome.received,
        "exit_code": code,
        "product": outcome.product.name if outcome.product else None,
        "remark": outcome.reason or None,
        **outcome.facts,
    }


def _summary(profiler: Profiler, outcome: Outcome, recording: _record.Recording) -> None:
    if outcome.received is not None:
        verdict = "was interrupted"
    elif outcome.study_code is None:
        verdict = "ended, its exit code is not known"
    elif outcome.study_code:
        verdict = f"failed with {_record.describe_code(outcome.study_code)}"
    else:
        verdict = "ended well"
    say(f"{profiler.program}: the study {verdict} after {outcome.duration_s:.1f} s")
    if outcome.reason:
        say(f"{profiler.program}: {outcome.reason}")
    if outcome.product is None:
        say(f"no profile; what is known of the run lies in {recording.folder}")
    else:
        say(f"profile: {outcome.product}")


def shell_line(words: Sequence[str]) -> str:
    """A command as one would type it."""
    return shlex.join(words)
