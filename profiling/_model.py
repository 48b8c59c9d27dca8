"""What a recorded study says, as plain values: capture makes it, the reports show it.

All seconds count from the start of the recording unless a name says otherwise.  Every value is
frozen and made of standard types, so that two profiles compare by ``==`` and a profile written
with `to_json` reads back equal with `from_json`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass

SCHEMA = 1
KINDS = ("time", "memory")


class UnreadableProfile(Exception):
    """A text that is no profile, or one of a later schema; the message is one line."""


@dataclass(frozen=True)
class Trial:
    """One trial as its process ran it; state: complete, pruned, fail or running."""

    number: int
    pid: int
    start_s: float
    end_s: float | None
    state: str


@dataclass(frozen=True)
class Hot:
    """A line of source and the seconds of one phase that it explains."""

    function: str
    file: str
    line: int
    seconds: float


@dataclass(frozen=True)
class Phase:
    """What one phase cost; per-trial figures are None where no trials were marked."""

    name: str
    seconds: float
    share: float
    ms_per_trial: float | None
    first_tenth_ms: float | None
    last_tenth_ms: float | None
    hot: tuple[Hot, ...]


@dataclass(frozen=True)
class Segment:
    """A stretch of one lane in one phase."""

    start_s: float
    end_s: float
    phase: str


@dataclass(frozen=True)
class Lane:
    """One thread of one process over time; busy_s leaves the waits out."""

    pid: int
    thread: str
    start_s: float
    end_s: float
    busy_s: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Stack:
    """Root first; the frames are indices into `Flame.frames`."""

    frames: tuple[int, ...]
    seconds: float
    phase: str


@dataclass(frozen=True)
class Flame:
    """Merged stacks; a frame is (function, file, line)."""

    frames: tuple[tuple[str, str, int], ...]
    stacks: tuple[Stack, ...]


@dataclass(frozen=True)
class Allocator:
    """A line of source and what it held when the memory of its process stood highest."""

    function: str
    file: str
    line: int
    bytes: int
    allocations: int
    pid: int


@dataclass(frozen=True)
class Leak:
    """The line whose live memory grows most, by how much per 100 trials, and the interval."""

    bytes_per_100_trials: float
    low: float
    high: float
    function: str
    file: str
    line: int
    pid: int


@dataclass(frozen=True)
class Process:
    """One process of the study.

    kind: main, spawn, forkserver, fork or other; `lost` says why there is no capture of it.
    """

    pid: int
    parent: int | None
    kind: str
    recorded: bool
    lost: str
    peak_bytes: int | None


@dataclass(frozen=True)
class Curve:
    """Memory of one process: (second, resident bytes, heap bytes or None)."""

    pid: int
    points: tuple[tuple[float, int, int | None], ...]


@dataclass(frozen=True)
class Memory:
    """What the study held; `leak_absent` says why there is no leak figure."""

    processes: tuple[Process, ...]
    curves: tuple[Curve, ...]
    leak: Leak | None
    leak_absent: str
    allocators: tuple[Allocator, ...]
    peak_bytes: int


@dataclass(frozen=True)
class Advice:
    """What removes a phase, with the figure it reached and where that figure comes from."""

    phase: str
    share: float
    text: str
    figure: str
    source: str


@dataclass(frozen=True)
class Profile:
    """A whole recording; `trials_absent` says why no trials were marked, else it is empty."""

    kind: str
    title: str
    run: dict[str, typing.Any]
    duration_s: float
    trials: tuple[Trial, ...]
    trials_absent: str
    phases: tuple[Phase, ...]
    lanes: tuple[Lane, ...]
    flame: Flame | None
    memory: Memory | None
    advice: tuple[Advice, ...]
    remarks: tuple[str, ...]


def to_json(profile: Profile) -> str:
    """The profile as one JSON object with its schema number; `run` must be plain JSON values.

    Raises
    ------
    ValueError
        A number is infinite or not a number, which JSON cannot say.
    """
    # Not `dataclasses.asdict`: it copies every tuple, and there may be many thousand.
    return json.dumps({"schema": SCHEMA, **vars(profile)}, default=vars, allow_nan=False)


def from_json(text: str) -> Profile:
    """The profile that `to_json` wrote, equal to it.

    Raises
    ------
    UnreadableProfile
        In one line: not JSON, not a profile, or written by a later version.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise UnreadableProfile(f"not a profile: {error}") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("schema"), int):
        raise UnreadableProfile("not a profile: expected a JSON object with a schema number")
    schema = plain.pop("schema")
    if schema > SCHEMA:
        raise UnreadableProfile(
            f"this profile has schema {schema} and this version reads up to {SCHEMA}: "
            "read it with the version that wrote it"
        )
    profile = _built(Profile, plain, "profile")
    if profile.kind not in KINDS:
        raise UnreadableProfile(f"kind is {profile.kind!r}; expected one of {', '.join(KINDS)}")
    return typing.cast(Profile, profile)


def _built(kind: typing.Any, value: typing.Any, where: str) -> typing.Any:
    """The value as the declared type, dataclasses and tuples made again."""
    origin = typing.get_origin(kind)
    if kind is typing.Any or origin is dict:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (one for one in typing.get_args(kind) if one is not type(None))
        return _built(kind, value, where)
    if origin is tuple:
        return _tuple(typing.get_args(kind), value, where)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
        raise UnreadableProfile(f"{where} is {value!r}; expected {kind.__name__}")
    return value


def _tuple(kinds: tuple[typing.Any, ...], value: typing.Any, where: str) -> typing.Any:
    if not isinstance(value, list):
        raise UnreadableProfile(f"{where} is {type(value).__name__}; expected a list")
    if kinds[-1] is Ellipsis:
        return tuple([_built(kinds[0], one, where) for one in value])
    if len(value) != len(kinds):
        raise UnreadableProfile(f"{where} has {len(value)} values; expected {len(kinds)}")
    return tuple([_built(one, item, where) for one, item in zip(kinds, value, strict=True)])


def _record(kind: typing.Any, value: typing.Any, where: str) -> typing.Any:
    hints = _hints(kind)
    if not isinstance(value, dict) or set(value) != set(hints):
        found = ", ".join(sorted(value)) if isinstance(value, dict) else type(value).__name__
        raise UnreadableProfile(f"{where} holds {found[:120]}; expected {', '.join(hints)}")
    return kind(**{name: _built(hint, value[name], name) for name, hint in hints.items()})


_HINTS: dict[typing.Any, dict[str, typing.Any]] = {}


def _hints(kind: typing.Any) -> dict[str, typing.Any]:
    """Field types of a dataclass, resolved once: large profiles hold many thousand segments."""
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]
