"""CPU and memory of this repository's hot paths, before and after, in one browsable folder."""

from __future__ import annotations

import argparse
import itertools
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import _launch
import _model
import _record
import _report
import _words
from _hot_index import SIDES, Shot, index
from _launch import NO_PROFILE, OK, Refusal, say

PROGRAM = "hot_paths"
INDEX = "index.html"
_INTERRUPTED = 128 + signal.SIGINT
_KINDS = (("time", "study_time"), ("memory", "study_memory"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile the named hot paths, or all; returns 5 when one has no profile."""
    options = _parser().parse_args(arguments)
    try:
        names = _launch.known_hot_paths(options.names)
        now = datetime.now(UTC)
        recording = _launch.new_recording(options.output, "hot-paths", now)
    except Refusal as refusal:
        say(f"{PROGRAM}: {refusal}")
        return refusal.code
    except KeyboardInterrupt:
        return _interrupted()
    kinds = [kind for kind in _KINDS if options.only in (None, kind[0])]
    total = len(names) * len(SIDES) * len(kinds)
    paths = _words.counted(len(names), "hot path")
    say(f"{paths}, {total} profiles of {_launch.HOT_PATH_SECONDS} s and more each")
    shots: list[Shot] = []
    try:
        for name, side, (kind, script) in itertools.product(names, SIDES, kinds):
            shots.append(_shoot(recording.folder, name, side, kind, script))
            say(f"{len(shots)}/{total} {name} {side} {kind}: {shots[-1].said}")
            _write(recording, shots, now)
            if shots[-1].code == _INTERRUPTED:
                break
    except OSError as error:
        say(f"{PROGRAM}: the index was not written: {error}")
        return NO_PROFILE
    except KeyboardInterrupt:
        return _interrupted()
    if shots and shots[-1].code == _INTERRUPTED:
        return _interrupted()
    say(f"profiles: {recording.folder / INDEX}")
    return NO_PROFILE if any(not shot.folder for shot in shots) else OK


def _interrupted() -> int:
    say(f"{PROGRAM}: interrupted; what was recorded until now is kept")
    return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _launch.Parser(
        prog=f"python profiling/{PROGRAM}.py",
        description=__doc__,
        epilog="exit codes: 0 all profiles written; 2 no such hot path; 5 a profile is missing, "
        "the index says why",
        allow_abbrev=False,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="for example stores.AddBatch (default: all)"
    )
    parser.add_argument(
        "--only", choices=[kind for kind, _ in _KINDS], help="one kind of profile (default: both)"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path(".profiles"),
        help="where the folder hot-paths-<UTC> is made (default: .profiles)",
    )
    return parser


def _shoot(parent: Path, name: str, side: str, kind: str, script: str) -> Shot:
    folder = parent / kind
    path = Path(__file__).with_name(f"{script}.py")
    words = [sys.executable, str(path), "--output", str(folder), "--hot-path", name, side]
    code, printed, messages = _run(words)
    lines = [line for line in messages.splitlines() if line.strip()]
    page = next((line[9:] for line in reversed(lines) if line.startswith("profile: ")), "")
    if not page:
        reasons = [line for line in lines if line.startswith(script)]
        return Shot(name, side, kind, code, "", (reasons or lines or ["no reason"])[-1])
    made = Path(page).parent
    said = re.search(r"\[(?P<workload>.*)\].*: (?P<calls>\d+) calls", printed)
    profile = _seen(made)
    return Shot(
        name,
        side,
        kind,
        code,
        made.relative_to(parent).as_posix(),
        _figures(profile, int(said["calls"]) if said else None),
        said["workload"] if said else "",
        tuple((one.name, one.share) for one in profile.phases) if profile else (),
    )


def _run(words: list[str]) -> tuple[int, str, str]:
    """The exit code of a profiler, and what it wrote to stdout and stderr."""
    process = subprocess.Popen(
        words,
        cwd=_launch.REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    while True:
        try:
            printed, messages = process.communicate()
            return process.returncode, printed, messages
        except KeyboardInterrupt:  # it got the signal too, and ends in its own way
            continue


def _seen(folder: Path) -> _model.Profile | None:
    try:
        return _model.from_json((folder / _report.JSON).read_text(encoding="utf-8"))
    except (OSError, _model.UnreadableProfile):
        return None


def _figures(profile: _model.Profile | None, calls: int | None) -> str:
    """What one sees at a glance: calls made, and where they went or what they held."""
    said = [] if calls is None else [_words.counted(calls, "call")]
    if profile is not None:
        if profile.memory is not None:
            said.append(f"peak {_words.size(profile.memory.peak_bytes)}")
        said += [f"{one.name} {_words.share(one.share)}" for one in profile.phases[:2]]
    return ", ".join(said)


def _write(recording: _record.Recording, shots: Sequence[Shot], now: datetime) -> None:
    about = f"{now:%Y-%m-%d %H:%M} UTC, {platform.platform()}, Python {platform.python_version()}"
    recording.draft(INDEX).write_text(index(shots, about), encoding="utf-8")
    recording.keep(INDEX)
    recording.write_json("index.json", {"hot_paths": [vars(shot) for shot in shots]})


if __name__ == "__main__":
    raise SystemExit(main())
