"""Time and memory of a study, by two runs of it.

Takes the options that both profilers share, and runs `study_time.py`, then `study_memory.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import _launch
import _record
import study_memory
import study_time

PROGRAM = "study_both"
_SCRIPTS = ("study_time", "study_memory")
_WARNING = (
    "both:        the script runs twice, once for time and once for memory; a script that "
    "continues\n             a stored study continues it twice"
)
_USAGE = """\
usage: python profiling/study_both.py [--python EXE] [--output DIR] path/to/study.py [its arguments]

Time and memory of a study. The script runs twice: one that continues a stored study continues it
twice. What either run would refuse is said before the first one; where only looking into processes
is forbidden, its memory is recorded alone. Exit code: that of the time run, else that of the memory
run; study_time.py --help lists them. An interrupted time run is not followed by a memory run.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Say that there are two runs, then do both; returns the first exit code that is not 0."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["--help"], ["-h"]):
        print(_USAGE, end="")
        return _launch.OK
    try:
        refused = {script: _refusal(script, words) for script in _SCRIPTS}
    except KeyboardInterrupt:
        _launch.say(f"{PROGRAM}: interrupted")
        return 130
    code = _refused(refused)
    if code is not None:
        return code
    codes = []
    for script in _SCRIPTS:
        if refused[script] is not None:
            codes.append(_launch.TOOL_MISSING)
            continue
        _launch.say(f"both:        {script}")
        codes.append(_run(script, words))
        if codes[-1] >= 128 or codes[-1] == _launch.BAD_USAGE:
            break  # interrupted or killed, or the second would be refused for the same reason
    return next((code for code in codes if code), _launch.OK)


def _refused(refused: dict[str, _launch.Refusal | None]) -> int | None:
    """Say what either run refuses; returns the exit code where none of them is begun."""
    for script, refusal in refused.items():
        if refusal is not None:
            _launch.say(f"{PROGRAM}: {script}: {refusal}")
            if script == "study_memory" or refusal.code != _launch.TOOL_MISSING:
                return refusal.code
    if refused["study_time"] is not None:
        _launch.say("both:        the script runs once, for memory alone")
    else:
        _launch.say(_WARNING)
    return None


def _refusal(script: str, words: Sequence[str]) -> _launch.Refusal | None:
    """Why a profiler would not begin; None where it would."""
    profiler: _launch.Profiler
    profiler = study_time.Time() if script == "study_time" else study_memory.Memory()
    try:
        options = _launch.parser_of(profiler).parse_args(words)
        profiler.check(_launch.job_of(options, profiler))
    except _launch.Refusal as refusal:
        return refusal
    except SystemExit as ended:  # its parser has said why
        code = ended.code if isinstance(ended.code, int) else _launch.BAD_USAGE
        return _launch.Refusal(code, "takes no such command line")
    return None


def _run(script: str, words: Sequence[str]) -> int:
    path = Path(__file__).with_name(f"{script}.py")
    process = subprocess.Popen([sys.executable, str(path), *words])
    while True:
        try:
            return _record.shell_code(process.wait())
        except KeyboardInterrupt:  # it got the signal too, and ends in its own way
            continue


if __name__ == "__main__":
    raise SystemExit(main())
