"""Looks at a study that is already running, and leaves it unharmed.

Time: samples of its stacks, read from outside while it runs on; where that cannot be done by
py-spy, which stops its threads for the moment of each sample.  Memory: every allocation where the
study was started with `attach.py --arm`, else how its resident memory moves.  No debugger loads
code into it.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import _armed
import _launch
import _look_memory
import _look_time
import _report
import _target
import _ways
import _words
import study_memory
from _launch import BAD_USAGE, NO_PROFILE, OK, TOOL_MISSING, Refusal, say
from _look import Look
from _resident import command_of, family, is_python, words_of
from _ways import Way

PROGRAM = "attach"
_HIGHEST = 4_194_304  # process id that Linux gives
_EXIT_CODES = """\
examples:
  python profiling/attach.py --pid 4711 --duration 30
  python profiling/attach.py --pid 4711 --duration 30 --memory
  python profiling/attach.py --arm study.py --trials 100
  python profiling/attach.py --pid 4711 --disarm

exit codes:
  0  the profile was written
  2  the command line is wrong
  4  looking into the process is forbidden, or a tool is missing; the message says what to do
  5  no profile, or too few samples for one
  6  there is no such process, or it runs no Python
  7  the profile was written, but the capture of a process is lost; the report names it
  130  interrupted; what was recorded until then is kept
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Attach to what the command line names, or start it armed; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.arm:
            _arm(options)
        if options.command or options.pid is None:
            raise Refusal(BAD_USAGE, "expected --pid PID, or --arm study.py; see --help")
        return _disarm(options) if options.disarm else _attach(options)
    except Refusal as refusal:
        say(f"{PROGRAM}: {refusal}")
        return refusal.code
    except OSError as error:
        say(f"{PROGRAM}: {error}")
        return NO_PROFILE
    except KeyboardInterrupt:
        say(f"{PROGRAM}: interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _launch.Parser(
        prog=f"python profiling/{PROGRAM}.py",
        usage="python profiling/attach.py --pid PID [options]\n"
        "       python profiling/attach.py --arm [--python EXE] path/to/study.py [its arguments]",
        description=(__doc__ or "").split("\n")[0],
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--pid", type=_whole, help="the process id of the study")
    parser.add_argument(
        "--duration", type=_whole, default=30, metavar="S", help="seconds to look (30)"
    )
    parser.add_argument(
        "--rate", type=_launch.rate, default=200, metavar="HZ", help="samples a second (200)"
    )
    parser.add_argument(
        "--pause",
        action="store_true",
        help="let py-spy take the samples, which stops the study for each of them",
    )
    parser.add_argument("--memory", action="store_true", help="its memory instead of its time")
    parser.add_argument("--arm", action="store_true", help="start a study that can be attached to")
    parser.add_argument(
        "--disarm", action="store_true", help="with --pid: an armed study records memory no more"
    )
    parser.add_argument("--python", metavar="EXE", help="with --arm: the study's interpreter")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path(".profiles"),
        help="where the folder pid-<PID>-<UTC> is made (.profiles)",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="study.py ...")
    return parser


def _whole(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= _HIGHEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_HIGHEST:,}")
    return value


def _arm(options: argparse.Namespace) -> None:
    options.hot_path = None
    job = _launch.job_of(options, study_memory.Memory())
    say(f"interpreter: {job.python.path} (Python {job.python.version}; {job.python.origin})")
    try:
        _armed.start(job)
    except OSError as error:
        raise Refusal(TOOL_MISSING, f"{job.python.path} does not start: {error}") from error


def _attach(options: argparse.Namespace) -> int:
    pid = options.pid
    _target.find(pid)
    before = _target.stopped(pid)
    with _target.Interruption() as interruption:
        look, way, now = _begin(options, before, interruption)
        try:
            if options.memory:
                _look_memory.look_at(look)
            else:
                _look_time.look_at(look, way, before)
        except OSError as error:  # a full disk, a folder or an interpreter that is gone
            look.code, look.reason = NO_PROFILE, f"no profile: {error}"
    return _finish(look, now)


def _begin(
    options: argparse.Namespace, before: set[int], interruption: _target.Interruption
) -> tuple[Look, Way, datetime]:
    """The look with its folder, and the way that may look.  Raises Refusal."""
    pid = options.pid
    line = _launch.shell_line([sys.executable, *sys.orig_argv[1:]])
    way = _ways.own()
    if not options.memory:
        way = _look_time.checked(pid, options.pause, line, before, interruption)
    if interruption.asked.is_set():
        raise KeyboardInterrupt
    if options.memory and not Path("/proc/self/statm").exists():
        raise Refusal(TOOL_MISSING, "--memory --pid reads /proc, which this system does not have")
    if options.memory and not any(is_python(one) for one, _ in family(pid)):
        raise _target.not_python(pid, "nor does a process that it started")
    now = datetime.now(UTC)
    title = command_of(pid)
    recording = _launch.new_recording(options.output, f"pid-{pid}", now)
    look = Look(
        options,
        recording,
        _armed.find(pid),
        time.monotonic_ns(),
        title,
        words_of(pid),
        interruption,
        frozenset(one for one, _ in family(pid)),
    )
    say(f"attached:    process {pid}: {_words.clean(title, 120)}")
    say(f"recording:   {options.duration} s; Ctrl-C ends it sooner; the study goes on")
    return look, way, now


def _disarm(options: argparse.Namespace) -> int:
    """Let an armed study record no more, now and later."""
    _target.find(options.pid)
    armed = _armed.find(options.pid)
    if armed is None:
        raise Refusal(BAD_USAGE, f"process {options.pid} was not started by --arm")
    late = _armed.disarm(armed)
    if late:
        pids = ", ".join(map(str, late))
        say(f"disarmed:    {pids} still record and end it when the call ends that they are in")
        return NO_PROFILE
    say(f"disarmed:    process {options.pid} and its workers record no memory any more")
    return OK


# --- the end


def _finish(look: Look, now: datetime) -> int:
    """Write and show what was seen; returns the exit code."""
    code = 130 if look.interruption.asked.is_set() and look.code == OK else look.code
    facts = _facts(look, now, code)
    page = None
    try:
        look.recording.write_json("run.json", facts)
        if look.profile is not None:
            profile = dataclasses.replace(look.profile, run=facts)
            for line in _report.lines(profile):
                say(line)
            page = _report.write(profile, look.recording)
    except OSError as error:
        say(f"{PROGRAM}: the report was not written: {error}")
        code = NO_PROFILE
    finally:
        look.recording.sweep()
    if look.reason:
        say(f"{PROGRAM}: {look.reason}")
    say(
        f"profile: {page}" if page else f"no profile; what is known lies in {look.recording.folder}"
    )
    return code


def _facts(look: Look, now: datetime, code: int) -> dict[str, Any]:
    return {
        "profiler": PROGRAM,
        "pid": look.options.pid,
        "command": look.words,
        "working_directory": str(_target.working_directory(look.options.pid)),
        "start_utc": now.isoformat(timespec="seconds"),
        "duration_s": round((time.monotonic_ns() - look.begun_ns) / 1e9, 3),
        "armed": look.armed is not None,
        "exit_code": code,
        "remark": look.reason or None,
        **look.facts,
    }


if __name__ == "__main__":
    raise SystemExit(main())
