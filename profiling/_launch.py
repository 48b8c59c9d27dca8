"""What both profilers share: options, checks before the study starts, header and summary."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol

import _blanked
import _facts
import _interpreter
import _model
import _record
import _report

OK, BAD_USAGE, STUDY_FAILED, TOOL_MISSING, NO_PROFILE = 0, 2, 3, 4, 5
PID_GONE, CAPTURE_LOST = 6, 7
HOT_PATH_SECONDS = 5
REPOSITORY = Path(__file__).resolve().parent.parent

_EXIT_CODES = """\
exit codes:
  0  the study ended well and its profile was written
  2  the command line is wrong (no such script, a rate out of range, ...)
  3  the study failed; its own exit code is printed, its profile is kept
  4  a tool is missing or not permitted here; the message says what to do
  5  the study ended, but no profile of it could be written: too few samples, for example
  6  --pid: there is no such process, or it runs no Python
  7  the profile was written, but the capture of a worker process is lost; the report names it
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
    after_study: bool = False  # that signal came when the study had ended
    product: Path | None = None
    reason: str = ""  # why there is no product, or what it lacks
    facts: dict[str, Any] = field(default_factory=dict)  # for run.json
    profile: _model.Profile | None = None  # what is reported; its `run` is filled in here
    too_few: bool = False  # samples: the profile is kept, but it is a guess
    lost: bool = False  # the capture of a worker


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
    parser = parser_of(profiler)
    options = parser.parse_args(arguments)
    try:
        job = job_of(options, profiler)
        say(f"interpreter: {job.python.path} (Python {job.python.version}; {job.python.origin})")
        manner = profiler.check(job)
        now = datetime.now(UTC)
        recording = new_recording(options.output, job.name, now)
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
    try:
        sys.stdout.flush()
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:  # as after `| head`: nobody reads any more, the report is still written
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)


def rate(text: str) -> int:
    """A sampling rate in 1/s, from the command line."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return value


class Parser(argparse.ArgumentParser):
    """Says a user's mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"{self.prog}: {message}; see --help\n")


def parser_of(profiler: Profiler) -> argparse.ArgumentParser:
    """The options that all profilers have, and this one's."""
    program = f"python profiling/{profiler.program}.py"
    parser = Parser(
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
        default=Path(_record.DEFAULT_PARENT),
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


def job_of(options: argparse.Namespace, profiler: Profiler) -> Job:
    """What the command line names, checked. Raises Refusal."""
    words = list(options.command)
    if words[:1] == ["--"]:
        del words[0]
    if options.hot_path:
        return _hot_path_job(options, profiler, words)
    if not words:
        raise Refusal(BAD_USAGE, "which script? Give the path of a study's script; see --help")
    script = Path(words[0])
    try:
        folder = Path.cwd()
        _check_script(script, folder)
    except OSError as error:  # no right to look, a name too long, a working directory that is gone
        raise Refusal(BAD_USAGE, f"{script} cannot be read: {error.strerror}") from error
    environ = _interpreter.callers_environ(os.environ, sys.prefix)
    python = _python(options.python, environ, profiler.package)
    wrong = _interpreter.why_no_script(python.path, script, environ)
    if wrong:
        raise Refusal(BAD_USAGE, f"{script} is not a script of Python {python.version}: {wrong}")
    return Job(script.stem, words, python, environ, folder, options)


def _check_script(script: Path, folder: Path) -> None:
    if script.is_dir():
        raise Refusal(BAD_USAGE, f"{script} is a folder; give the path of the study's script")
    if not script.exists():
        raise Refusal(BAD_USAGE, f"there is no script {script} (looked in {folder})")
    if not os.access(script, os.R_OK):
        raise Refusal(BAD_USAGE, f"{script} cannot be read; check its permissions")


def _hot_path_job(options: argparse.Namespace, profiler: Profiler, rest: list[str]) -> Job:
    name, side = options.hot_path
    if side not in ("before", "after"):
        raise Refusal(BAD_USAGE, f"--hot-path {name} {side}: the side is either before or after")
    if rest or options.python:
        surplus = " ".join(rest) if rest else "--python"
        raise Refusal(BAD_USAGE, f"--hot-path takes no {surplus}: it runs this repository's code")
    known_hot_paths([name])
    seconds = str(HOT_PATH_SECONDS)
    words = ["-m", "benchmarks", "drive", name, side, "--seconds", seconds]
    environ = dict(os.environ)
    python = _probe(sys.executable, "this script's own, for a hot path", environ, profiler.package)
    return Job(f"{name}-{side}", words, python, environ, REPOSITORY, options)


def known_hot_paths(names: Sequence[str]) -> list[str]:
    """The named hot paths of this repository in the order of their declaration; all without names.

    Raises `Refusal` for a name that is none.
    """
    declared = declared_hot_paths()
    unknown = [name for name in names if name not in declared]
    if unknown:
        raise Refusal(
            BAD_USAGE,
            f"no hot path is called {', '.join(unknown)}; `python -m benchmarks list` lists them",
        )
    return [name for name in declared if not names or name in names]


def declared_hot_paths() -> list[str]:
    """The names of this repository's hot paths."""
    listed = subprocess.run(
        [sys.executable, "-m", "benchmarks", "list"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        lines = listed.stderr.strip().splitlines() or ["no reason given"]
        raise Refusal(TOOL_MISSING, f"the hot paths cannot be listed: {lines[-1]}")
    return [words[0] for words in map(str.split, listed.stdout.splitlines()) if words]


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


def new_recording(parent: Path, name: str, now: datetime) -> _record.Recording:
    """A folder of its own for what is recorded, which can be written to. Raises Refusal."""
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
    except KeyboardInterrupt:
        outcome = Outcome(None, received=signal.SIGINT, reason="interrupted; nothing was kept")
    finally:
        recording.sweep()
    try:
        _write(profiler, job, recording, now, outcome)
    except Exception as error:  # hours of recording may lie in the folder: no traceback over it
        _no_report(outcome, f"the report was not written: {in_words(error)}")
    except KeyboardInterrupt:
        outcome.received, outcome.after_study = signal.SIGINT, True
        _no_report(outcome, "interrupted while the report was written")
    finally:
        recording.sweep()
    code = _exit_code(outcome)
    if outcome.product is None:
        _write_facts(profiler, job, recording, now, outcome)
    _summary(profiler, outcome, recording)
    return code


def _write(
    profiler: Profiler, job: Job, recording: _record.Recording, now: datetime, outcome: Outcome
) -> None:
    """The facts, then the table, then the page, which takes longest."""
    facts = _facts.of(profiler.program, job, outcome, now, _exit_code(outcome))
    recording.write_json("run.json", facts)
    if outcome.profile is None:
        return
    profile = dataclasses.replace(outcome.profile, run=facts)
    for line in _report.lines(profile):
        say(line)
    outcome.product = _report.write(profile, recording)


def _no_report(outcome: Outcome, reason: str) -> None:
    outcome.profile = outcome.product = None
    outcome.reason = "; ".join(part for part in (outcome.reason, reason) if part)


def _write_facts(
    profiler: Profiler, job: Job, recording: _record.Recording, now: datetime, outcome: Outcome
) -> None:
    """Say in run.json what came in the end; what it said before is removed first."""
    facts = _facts.of(profiler.program, job, outcome, now, _exit_code(outcome))
    with contextlib.suppress(OSError):
        (recording.folder / "run.json").unlink(missing_ok=True)
        recording.write_json("run.json", facts)


def in_words(error: Exception) -> str:
    """An error in one line."""
    said = " ".join(str(error).split())
    return said if isinstance(error, OSError) else f"{type(error).__name__}: {said}"


def _exit_code(outcome: Outcome) -> int:
    if outcome.received is not None:
        return 128 + outcome.received
    if outcome.study_code:
        return STUDY_FAILED
    missing = outcome.product is None and outcome.profile is None
    if missing or outcome.study_code is None or outcome.too_few:
        return NO_PROFILE
    return CAPTURE_LOST if outcome.lost else OK


def _summary(profiler: Profiler, outcome: Outcome, recording: _record.Recording) -> None:
    if outcome.received is not None and not outcome.after_study:
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
    """A command as one would type it, with its secrets blanked."""
    return shlex.join(_blanked.words(words))
