"""Which phase moved between two profiles of a study? Exits 1 where one got worse past a limit.

    python profiling/compare.py .profiles/study-A .profiles/study-B --limit 10

Times are compared per trial where both profiles have trials, else as seconds of the whole. A phase
has moved where it changed by more than the limit, as a share of the whole before, and by more than
three standard errors of what the samples and the spread between trials let one know. Where nearly
all phases moved one way by a like factor, the objective too, the machine differs or the load beside
one of the runs: what lies within that factor is told as `machine` and is not worse. So is all that
got dearer where other processes are known to have used more beside the second run. Of the peak of
the memory the limit alone decides: one run does not tell how much it varies.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import _beside
import _findings
import _leak
import _machine
import _model
import _terminal
import _trend
import _words

SAME, WORSE, BAD_USAGE = 0, 1, 2
DEFAULT_LIMIT = 10.0  # percent
_SIGMAS = _trend.SIGMAS
_MOST_ALLOCATORS = 8
GROWTH = "growth per 100 trials"
MACHINE = "machine"  # the verdict of what moved with nearly everything else
_ONE_RUN = (
    "one run of each: what ran beside one of them may look like a change of the code; believe a "
    "verdict that a second pair, recorded in turn, gives again"
)
_SAME_MACHINE = (("platform", "machines"), ("python_version", "Pythons"), ("tool", "profilers"))


class Refusal(Exception):
    """Two things that cannot be compared; the message is one line."""


@dataclass(frozen=True)
class Move:
    """One figure in both profiles; `worse` and `better` only past limit, noise and machine."""

    name: str
    before: float
    after: float
    error: float  # standard error of the difference
    limit: float  # in the unit of the figures
    factor: float = 1.0  # after over before that the machine may explain: infinite beside a load

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def moved(self) -> bool:
        return abs(self.change) > max(self.limit, _SIGMAS * self.error)

    @property
    def verdict(self) -> str:
        if not self.moved:
            return "same"
        allowed = max(self.limit, _SIGMAS * self.error)
        if math.isinf(self.factor):
            low, high = self.before, math.inf
        else:  # what the machine made dearer has a larger limit and more noise with it
            allowed *= max(1.0, self.factor)
            low, high = sorted((self.before, self.factor * self.before))
        if self.after > high + allowed:
            return "worse"
        return "better" if self.after < low - allowed else MACHINE


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare what the command line names; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        before, after = read(options.before), read(options.after)
        if before.kind != after.kind:
            raise Refusal(
                f"{options.before} is a {before.kind} profile and {options.after} a {after.kind} "
                "profile: compare two of one kind"
            )
        if before.kind == "memory" and (before.memory is None or after.memory is None):
            raise Refusal("one of the two holds no memory: record it again with --memory")
    except Refusal as refusal:
        print(f"compare: {refusal}", file=sys.stderr)
        return BAD_USAGE
    moves, unit = moved(before, after, options.limit / 100)
    for line in lines(before, after, moves, unit, options.limit):
        print(line)
    return WORSE if any(one.verdict == "worse" for one in moves) else SAME


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"{self.prog}: {message}; see --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python profiling/compare.py",
        description=(__doc__ or "").split("\n")[0],
        epilog="exit codes: 0 nothing got worse, 1 something did past the limit, 2 the command "
        "line or a file is wrong",
        allow_abbrev=False,
    )
    parser.add_argument("before", type=Path, help="a profile.json, or the folder of a recording")
    parser.add_argument("after", type=Path, help="the same, later")
    parser.add_argument(
        "--limit",
        type=_percent,
        default=DEFAULT_LIMIT,
        metavar="PERCENT",
        help="of the whole before, by which one phase may grow (default: %(default)g)",
    )
    return parser


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 to 1000")
    return value


def read(path: Path) -> _model.Profile:
    """The profile of a file, or of the only one in a folder. Raises Refusal."""
    if path.is_dir():
        found = sorted(path.glob("*profile.json"))
        if len(found) != 1:
            names = ", ".join(one.name for one in found) or "none"
            raise Refusal(f"{path} should hold one profile.json and holds {names}: name the file")
        path = found[0]
    try:
        return _model.from_json(path.read_text(encoding="utf-8"))
    except _model.UnreadableProfile as error:
        raise Refusal(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise Refusal(f"{path}: not a profile: not UTF-8") from None
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}") from None


def moved(before: _model.Profile, after: _model.Profile, limit: float) -> tuple[list[Move], str]:
    """Every figure of both, and their unit: `ms per trial`, `s` or `bytes`.

    limit: a share. The whole of the figures comes first, then its parts, the largest change first.
    """
    if before.kind == "memory":
        return _memory(before, after, limit), "bytes"
    per_trial = _findings.trial_ms(before) is not None and _findings.trial_ms(after) is not None
    figures = [_per_trial(one) if per_trial else _seconds(one) for one in (before, after)]
    errors = [_errors(one, per_trial) for one in (before, after)]
    whole = [sum(one.values()) for one in figures]
    allowed = limit * whole[0]
    moves = []
    for name in {**figures[0], **figures[1]}:
        error = math.hypot(*(one.get(name, 0.0) for one in errors))
        old, new = (one.get(name, 0.0) for one in figures)
        moves.append(Move(name, old, new, error, allowed))
    moves.sort(key=lambda move: (-abs(move.change), -move.before))
    error = math.hypot(*(move.error for move in moves))
    moves.insert(0, Move("together", whole[0], whole[1], error, allowed))
    if any(move.moved for move in moves):
        beside = _beside.difference(before.run, after.run)
        if beside is not None:  # a load hits each phase in its own way: it may explain any factor
            factor = math.inf if beside[1] > beside[0] else 0.0
        else:
            factor = _machine.factor(figures[0], figures[1])
        moves = [dataclasses.replace(move, factor=factor) for move in moves]
    return moves, "ms per trial" if per_trial else "s"


def _per_trial(profile: _model.Profile) -> dict[str, float]:
    return {one.name: one.ms_per_trial or 0.0 for one in profile.phases}


def _seconds(profile: _model.Profile) -> dict[str, float]:
    return {one.name: one.seconds for one in profile.phases}


def _errors(profile: _model.Profile, per_trial: bool) -> dict[str, float]:
    """Standard errors; without trials those of counting samples alone."""
    if per_trial:
        return {one.name: _trend.mean_error_ms(profile, one) for one in profile.phases}
    rate = _trend.rate_hz(profile)
    return {one.name: math.sqrt(one.seconds / rate) for one in profile.phases}


def _memory(before: _model.Profile, after: _model.Profile, limit: float) -> list[Move]:
    one, other = before.memory, after.memory
    assert one is not None  # as main has looked
    assert other is not None
    moves = [
        Move("peak", one.peak_bytes, other.peak_bytes, 0.0, limit * one.peak_bytes),
    ]
    before_it, after_it = _slope(one), _slope(other)
    if before_it is not None and after_it is not None and (one.leak or other.leak):
        (old, old_error), (new, new_error) = before_it, after_it
        error = math.hypot(old_error, new_error)
        trifle = _leak.least_per_100(_trend.ended(after), other.peak_bytes)
        allowed = max(limit * abs(old), trifle)
        moves.append(Move(GROWTH, old, new, error, allowed))
    return moves


def _slope(memory: _model.Memory) -> tuple[float, float] | None:
    """(bytes per 100 trials, standard error); None where nothing is known of them.

    Where no line grew that was looked for, the growth is none, and not unknown.
    """
    if memory.leak is not None:
        leak = memory.leak
        return leak.bytes_per_100_trials, (leak.high - leak.low) / 2 / _SIGMAS
    return (0.0, 0.0) if memory.leak_absent == _leak.NO_GROWTH else None


def lines(
    before: _model.Profile,
    after: _model.Profile,
    moves: Sequence[Move],
    unit: str,
    limit: float,
) -> list[str]:
    """The comparison as text."""
    form = {"ms per trial": _words.milliseconds, "s": _words.seconds, "bytes": _words.size}[unit]
    rows = [
        (
            _words.clean(move.name, 24),
            form(move.before),
            form(move.after),
            f"{'+' if move.change >= 0 else '-'}{form(abs(move.change))}",
            form(_SIGMAS * move.error) if move.error else "-",
            move.verdict,
        )
        for move in moves
    ]
    head = ("", "before", "after", "change", "± 3 se", "verdict")
    title = f"{_words.clean(before.title, 60)} → {_words.clean(after.title, 60)}"
    per = {"ms per trial": "time per trial", "s": "seconds of the whole", "bytes": "memory"}[unit]
    of = f"of the whole before ({form(moves[0].limit)}) and 3 se" if unit != "bytes" else "of each"
    found = [f"{title}: {per}; worse or better: by more than {limit:g}% {of}"]
    found += _remarks(before, after, unit)
    found += ["", *_terminal.table(head, rows, "lrrrrl"), *_allocators(before, after)]
    return [*found, *_notes(moves, unit), "", _verdict(moves, unit, limit)]


def _notes(moves: Sequence[Move], unit: str) -> list[str]:
    """What the table below it can and cannot tell; nothing where nothing moved, or of memory."""
    verdicts = {move.verdict for move in moves}
    found = []
    if MACHINE in verdicts:
        found += [
            f"{MACHINE}: {_why(moves[0].factor, unit)}.",
            "That says nothing about the code: record both again, in turn, with nothing beside.",
        ]
    if unit != "bytes" and verdicts & {"worse", "better"}:
        found.append(_ONE_RUN)
    return ["", *found] if found else []


def _why(factor: float, unit: str) -> str:
    if factor == 0.0 or math.isinf(factor):
        more, moved = ("second", "dearer") if factor else ("first", "cheaper")
        return f"more ran beside the {more} run, which may be why this got {moved}"
    times = f"up to {_words.digits(factor, 2)} times" if factor > 1 else f"down to {factor:.0%} of"
    length = ", or the length of the run," if unit == "s" else ""
    return (
        f"nearly all phases cost {times} what they did: the machine{length} differs, or the load "
        "beside one of the runs, and what lies within that factor may be its"
    )


def _verdict(moves: Sequence[Move], unit: str, limit: float) -> str:
    parts = []
    for word in ("worse", "better"):
        names = [_words.clean(move.name) for move in moves if move.verdict == word]
        if names:
            parts.append(f"{word}: {_words.listed(names)}")
    if not parts and any(move.verdict == MACHINE for move in moves):
        return "no verdict: the machine, or the load beside one of the runs, differs"
    of = "" if unit == "bytes" else " of the whole"
    return "; ".join(parts) or f"nothing moved by more than {limit:g}%{of}"


def _remarks(before: _model.Profile, after: _model.Profile, unit: str) -> list[str]:
    found = []
    if unit == "s":
        absent = before.trials_absent or after.trials_absent or "no trial ended"
        found.append(f"note: not per trial: {_words.clean(absent)}")
    found += [
        f"note: {GROWTH} is not compared, {when} it is not known: "
        f"{_words.clean(memory.leak_absent)}"
        for when, memory in (("before", before.memory), ("after", after.memory))
        if memory is not None and _slope(memory) is None
    ]
    for key, name in _SAME_MACHINE:
        pair = [_words.clean(str(one.run.get(key, ""))) for one in (before, after)]
        if pair[0] != pair[1] and all(pair):
            found.append(f"note: different {name}: {pair[0]} and {pair[1]}")
    beside = None if unit == "bytes" else _beside.difference(before.run, after.run)
    if beside is not None:
        found.append(
            f"note: others used {beside[0]:.2f} processors beside the first and "
            f"{beside[1]:.2f} beside the second"
        )
    if unit == "ms per trial" and before.trials and after.trials:
        counts = len(before.trials), len(after.trials)
        if max(counts) > 1.2 * min(counts):
            found.append(
                f"note: {counts[0]:,} trials and {counts[1]:,}: what grows with the trials costs "
                "more per trial in the longer study"
            )
    return found


def _allocators(before: _model.Profile, after: _model.Profile) -> list[str]:
    """What is held at the peak, where that changed most."""
    if before.memory is None or after.memory is None:
        return []
    held: dict[tuple[str, str], list[int]] = {}
    for side, memory in enumerate((before.memory, after.memory)):
        for one in memory.allocators:
            held.setdefault((one.function, one.file), [0, 0])[side] += one.bytes
    ranked = sorted(held.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
    rows = [
        (
            _words.size(old),
            _words.size(new),
            f"{_words.clean(function, 40)}  {_words.short_path(file)}",
        )
        for (function, file), (old, new) in ranked[:_MOST_ALLOCATORS]
        if old != new
    ]
    return (
        ["", *_terminal.table(("before", "after", "held at the peak by"), rows, "rrl")]
        if rows
        else []
    )


if __name__ == "__main__":
    raise SystemExit(main())
