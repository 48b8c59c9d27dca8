"""The samples of a recording as they come, and the file that they are written to.

The file is one of speedscope's (speedscope.app opens it) in the form that py-spy gives its own:
every sample is the process, the thread and its frames from the root on.  Equal samples of a thread
in successive rounds are written once, with their number as weight.  What speedscope does not know
is told beside it: `rounds`, the first round of each sample; under `sampler` when each round began,
in monotonic seconds; and under `facts` how the sampling went.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from _code_objects import Frame
from _stacks import Stack
from _tree import Member

# (end of a file, function): what a thread of this project, or of a library, is there for.
_THREADS = {
    ("/optimizer/stores/_storage_life.py", "Delay._run"): "delayed storage writes",
    ("/optimizer/stores/_heartbeat.py", "Heartbeat._run"): "storage heartbeat",
    ("/concurrent/futures/thread.py", "_worker"): "thread pool",
}
_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


class RawLane:
    """The samples of one thread: stacks, and in which rounds."""

    __slots__ = ("counts", "firsts", "name", "pid", "stacks", "tid")

    def __init__(self, pid: int, tid: int) -> None:
        self.pid, self.tid, self.name = pid, tid, ""
        self.stacks, self.firsts, self.counts = array("I"), array("I"), array("I")

    def add(self, place: int, stack: int) -> None:
        """The sample of a round."""
        again = bool(self.stacks) and self.stacks[-1] == stack
        if again and self.firsts[-1] + self.counts[-1] == place:
            self.counts[-1] += 1
            return
        self.stacks.append(stack)
        self.firsts.append(place)
        self.counts.append(1)


class RawSamples:
    """All samples; about 12 bytes for each that differs from the one before it."""

    def __init__(self) -> None:
        self.frames: dict[Frame, int] = {}
        self.rounds = array("d")
        self.samples = self.missed = 0
        self._stacks: dict[Stack, int] = {}
        self._lanes: dict[tuple[int, int], RawLane] = {}

    def add(self, pid: int, stacks: Mapping[int, Stack], missed: int) -> None:
        """What one process showed in the latest round."""
        place = len(self.rounds) - 1
        for tid, stack in stacks.items():
            number = self._stacks.setdefault(stack, len(self._stacks))
            lane = self._lanes.get((pid, tid))
            if lane is None:
                lane = self._lanes[pid, tid] = RawLane(pid, tid)
            lane.add(place, number)
        self.samples += len(stacks)
        self.missed += missed

    def write(self, path: Path, members: Mapping[int, Member], facts: Mapping[str, Any]) -> None:
        """Write the file, lane by lane.  Raises OSError."""
        frames = _Frames(self.frames)
        stacks = [stack[::-1] for stack in self._stacks]
        with path.open("w", encoding="utf-8") as file:
            file.write(f'{{"$schema": "{_SCHEMA}", "exporter": "study_time", "profiles": [\n')
            for i, lane in enumerate(self._lanes.values()):
                file.write(",\n" if i else "")
                name = self._name(lane, stacks)
                above = [
                    frames.head(f'process {pid}:"{members[pid].command}"')
                    for pid in _line_of(lane.pid, members)
                ]
                above.append(frames.head(f"thread ({lane.tid})" + (f": {name}" if name else "")))
                _write_lane(file, lane, name, above, stacks)
            file.write('],\n"shared": ')
            json.dump({"frames": frames.all}, file)
            file.write(',\n"sampler": ')
            json.dump({"rounds": [round(moment, 5) for moment in self.rounds]}, file)
            file.write(',\n"facts": ')  # last, and on a line of its own: read without the rest
            json.dump(facts, file)
            file.write("}\n")

    def _name(self, lane: RawLane, stacks: Sequence[Stack]) -> str:
        """What a thread runs: its name as Python knows it lies in no fixed place."""
        if lane.tid == lane.pid:
            return "MainThread"
        frames = list(self.frames)
        for number in lane.stacks:
            for name, file, _ in (frames[i] for i in stacks[number]):
                if not file.endswith("/threading.py"):
                    return f"{_purpose(name, file)} {lane.tid}"
        return ""


def _purpose(function: str, file: str) -> str:
    return next(
        (
            said
            for (end, inside), said in _THREADS.items()
            if function == inside and file.endswith(end)
        ),
        function,
    )


class _Frames:
    """The frames of the file: those of stacks, and what stands above them."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.all = [{"name": name, "file": file, "line": line} for name, file, line in frames]
        self._heads: dict[str, int] = {}

    def head(self, text: str) -> int:
        """The number of a process or a thread."""
        if text not in self._heads:
            self._heads[text] = len(self.all)
            self.all.append({"name": text, "file": "", "line": 0})
        return self._heads[text]


def _write_lane(
    file: IO[str], lane: RawLane, name: str, above: list[int], stacks: Sequence[Stack]
) -> None:
    about = {
        "type": "sampled",
        "name": f'Process {lane.pid} Thread {lane.tid} "{name}"',
        "unit": "none",
        "startValue": 0,
        "endValue": sum(lane.counts),
        "weights": lane.counts.tolist(),
        "rounds": lane.firsts.tolist(),
    }
    start = ", ".join(map(str, above))
    texts: dict[int, str] = {}
    file.write(json.dumps(about)[:-1] + ', "samples": [')
    for place, number in enumerate(lane.stacks):
        text = texts.get(number)
        if text is None:
            text = texts[number] = f"[{', '.join([start, *map(str, stacks[number])])}]"
        file.write(f",{text}" if place else text)
    file.write("]}")


def _line_of(pid: int, members: Mapping[int, Member]) -> list[int]:
    """A process and those above it that ran Python, the outermost first."""
    line: list[int] = []
    at = pid
    while at in members and at not in line:
        if members[at].read:
            line.insert(0, at)
        at = members[at].parent
    return line
