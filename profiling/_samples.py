"""Ordered samples: for each thread the stacks it was seen in, one after the other.

They come in a file of speedscope's, by our own sampler (`_raw_samples.py`) or by py-spy: of its
formats only this one keeps the order of the samples and tells processes with the same thread ids
apart (a fork copies them).  A reader needs several times the memory of the file.  Our own sampler
tells the round of each sample and when each round was.  py-spy tells neither; the samples of our
own process beside the study (`_witness.py`) tell when the rounds were.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _sources import Sources
from _witness import TICKS

Frame = tuple[str, str, int]  # function, file, line

_LANE = re.compile(r"Process (\d+) Thread (\d+)")
_PROCESS = re.compile(r"process (\d+):")
_THREAD = re.compile(r"thread \((\d+)\)(?:: (.*))?$")
_TIME = re.compile(r"(second|tick)#(\d+)$")


_BARE = 4  # samples without frames before one that is left behind
_SHORT = 10_000  # lines; a file is opened only to look whether it has more than these


@dataclass
class SampledLane:
    """One thread: the stack of each of its samples, as indices into `Samples.stacks`."""

    pid: int
    tid: int
    name: str
    stacks: list[int]
    ending: int = 0  # samples after the last Python frame, which are left out
    held: int = 0  # samples in which the hook held the study up, left out as well
    places: list[int] | None = None  # the round of each sample, where it is known


@dataclass
class Samples:
    """All threads of all processes; a stack holds indices into `frames`, root first."""

    frames: list[Frame]
    stacks: list[tuple[int, ...]]
    lanes: list[SampledLane]
    parents: dict[int, int]  # a process and the one that started it
    commands: dict[int, str]
    rounds: list[float] = field(default_factory=list)  # monotonic second of each round; or empty

    @property
    def count(self) -> int:
        return sum(len(lane.stacks) for lane in self.lanes)


def read(path: Path, sources: Sources | None = None) -> Samples:
    """The samples in a file that our sampler or `py-spy record --format speedscope` wrote.

    Raises OSError, or ValueError when the file is not of that kind.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    try:
        return _read(content, sources or Sources())
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path.name} is no speedscope file of samples: {error!r}") from error


def _read(content: dict[str, Any], sources: Sources) -> Samples:
    raw = content["shared"]["frames"]
    frames, same, heads = _frames(raw, sources)
    times = _times(raw)
    samples = Samples(frames, [], [], {}, {}, content.get("sampler", {}).get("rounds", []))
    known: dict[tuple[int, ...], int] = {}
    for profile in content["profiles"]:
        match = _LANE.match(profile["name"])
        if match is None or not profile["samples"]:
            continue
        if any(i in times for i in profile["samples"][len(profile["samples"]) // 2]):
            samples.rounds = _rounds(profile["samples"], times)
            continue
        rounds = profile.get("rounds")
        lane = SampledLane(int(match[1]), int(match[2]), "", [])
        lane.places = [] if rounds else None
        previous: list[int] | None = None
        head, stack = -1, 0
        for number, sample in enumerate(profile["samples"]):
            if sample != previous:
                previous = sample
                inner = tuple([same[i] for i in sample if i not in heads])
                stack = known.setdefault(inner, len(known))
                if stack == len(samples.stacks):
                    samples.stacks.append(inner)
                head, lane = _thread(sample, raw, head, lane, samples)
            if lane.places is None:
                lane.stacks.append(stack)
            else:
                first, count = rounds[number], profile["weights"][number]
                lane.stacks += [stack] * count
                lane.places += range(first, first + count)
        _note_processes(profile["samples"][-1], raw, samples)
    gate = {i for i, frame in enumerate(frames) if frame[0] == "_wait_for_the_sampler"}
    for lane in samples.lanes:
        _mended(lane, samples.stacks, gate)
    samples.lanes = [lane for lane in samples.lanes if lane.stacks]
    return samples


def _times(raw: list[dict[str, Any]]) -> dict[int, float]:
    """By frame of the witness, the part of the time that its name tells."""
    times: dict[int, float] = {}
    for index, one in enumerate(raw):
        match = _TIME.match(one["name"])
        if match is not None and (one.get("file") or "").endswith("/_witness.py"):
            number = int(match[2])
            times[index] = number if match[1] == "second" else (number + 0.5) / TICKS
    return times


def _rounds(profile: list[list[int]], times: dict[int, float]) -> list[float]:
    """When each round was: what was read between two ticks counts as the one before it."""
    rounds: list[float] = []
    for sample in profile:
        parts = [times[i] for i in sample if i in times]
        moment = sum(parts) if len(parts) == 2 else -1.0
        rounds.append(max(moment, rounds[-1]) if rounds else moment)
    first = next((moment for moment in rounds if moment >= 0.0), 0.0)
    return [moment if moment >= 0.0 else first for moment in rounds]


def _mended(lane: SampledLane, stacks: list[tuple[int, ...]], gate: set[int]) -> None:
    """Take off what is no study's, and mend samples that hold no Python frame.

    At the end there are none for a while, as the interpreter tears down; a single one after that
    was read while memory was freed.  Anywhere else py-spy read while the process ran on: such a
    sample counts as the one before it.
    """
    gates = [i for i, stack in enumerate(lane.stacks) if gate & set(stacks[stack])]
    lane.held = gates[-1] + 1 if gates else 0
    del lane.stacks[: lane.held]
    if lane.places is not None:
        del lane.places[: lane.held]
    bare = [not stacks[stack] for stack in lane.stacks]
    count = len(bare)
    while count and (
        bare[count - 1] or (count > _BARE and all(bare[count - 1 - _BARE : count - 1]))
    ):
        count -= 1
    lane.ending = len(lane.stacks) - count
    del lane.stacks[count:]
    if lane.places is not None:
        del lane.places[count:]
    first = bare.index(False) if count else 0
    for i in range(first + 1, count):
        if bare[i]:
            lane.stacks[i] = lane.stacks[i - 1]


def _frames(raw: list[dict[str, Any]], sources: Sources) -> tuple[list[Frame], list[int], set[int]]:
    """The different frames; by raw index the frame, and which are the heads of lanes."""
    numbers: dict[Frame, int] = {}
    same: list[int] = []
    heads: set[int] = set()
    for index, one in enumerate(raw):
        name, file = one["name"], one.get("file") or ""
        if not file and (_THREAD.match(name) or _PROCESS.match(name)):
            heads.add(index)
        line = _line(file, int(one.get("line") or 0), sources)
        same.append(numbers.setdefault((name, file, line), len(numbers)))
    return list(numbers), same, heads


def _line(file: str, line: int, sources: Sources) -> int:
    """0 for a line that is nowhere: py-spy reads some of generated code as huge numbers."""
    if line <= 0 or file.startswith("<"):
        return 0
    if line > _SHORT and not sources.has(file, line):
        return 0
    return line


def _note_processes(sample: list[int], raw: list[dict[str, Any]], samples: Samples) -> None:
    """Note the processes above a stack, which py-spy draws as its outermost frames."""
    parent = None
    for index in sample:
        match = _PROCESS.match(raw[index]["name"])
        if match is None or raw[index].get("file"):
            return
        pid = int(match[1])
        samples.commands[pid] = raw[index]["name"].partition(":")[2].strip('"')
        if parent is not None:
            samples.parents[pid] = parent
        parent = pid


def _thread(
    sample: list[int],
    raw: list[dict[str, Any]],
    head: int,
    lane: SampledLane,
    samples: Samples,
) -> tuple[int, SampledLane]:
    """The lane of a sample: py-spy goes on with an ended thread's when its id is used again.

    The first samples of a thread have no name yet.
    """
    for index in sample:
        match = _THREAD.match(raw[index]["name"])
        if match is None or raw[index].get("file"):
            continue
        if index == head:
            return head, lane
        tid, name = int(match[1]), match[2] or f"thread {match[1]}"
        if head < 0 or tid != lane.tid:
            places: list[int] | None = None if lane.places is None else []
            lane = SampledLane(lane.pid, tid, name, [], places=places)
            samples.lanes.append(lane)
        lane.name = name
        return index, lane
    if head < 0:
        samples.lanes.append(lane)
    return max(head, 0), lane
