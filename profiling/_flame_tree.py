"""Merged stacks as a tree small enough for a page: what the flame graph draws."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _colours
import _model
import _words

DEEPEST = 240  # frames below the root; what is called deeper counts for the last one shown
LARGEST_BYTES = 190_000  # of the encoded tree
_SMALLEST_SHARE = 1 / 4000  # of the whole, in a tree that is small enough anyway
_COARSER = 1.6
_UNITS_PER_S = 10_000
_ROOT = ("all", "")
# Not shown: five of them stand above every import, and those of our own hook are not the study's.
_TRANSPARENT = ("<frozen importlib", str(Path(__file__).resolve().parent / "_hook") + "/")


@dataclass(frozen=True, slots=True)
class Node:
    """A function below its callers: its line that took most, and seconds by phase."""

    depth: int
    function: str
    file: str
    line: int
    total: float
    seconds: dict[str, float]


def encoded(flame: _model.Flame, below: str = "") -> tuple[str, float]:
    """The tree as JSON of at most LARGEST_BYTES, and the share below which a box is left out.

    `nodes` lists, in preorder and the heaviest first, [depth, name, line, total, mix]: total in
    1/10,000 s, name an index into `names` of [function, place], mix an index into `phases` or
    [phase, total, phase, total, ...].
    """
    smallest = _SMALLEST_SHARE
    nodes = grown(flame, smallest)
    while True:
        text = json.dumps(_table(nodes, below), separators=(",", ":"))
        if len(text) <= LARGEST_BYTES or len(nodes) == 1:
            return text, smallest
        smallest *= _COARSER
        least = nodes[0].total * smallest
        nodes = [nodes[0], *(node for node in nodes[1:] if node.total >= least)]


def grown(flame: _model.Flame, smallest: float = 0.0) -> list[Node]:
    """The tree in preorder, the heaviest first, without what is below a share of the whole.

    Frames of one function under one caller are one node. Cost: grows with the frames that are
    kept, not with those left out.
    """
    stacks = _visible(flame)
    least = smallest * sum(stack.seconds for stack in stacks)
    found: list[Node] = []
    waiting: list[tuple[int, tuple[str, str], Sequence[_model.Stack]]] = [(0, _ROOT, stacks)]
    while waiting:
        depth, (function, file), stacks = waiting.pop()
        seconds: dict[str, float] = {}
        lines: dict[int, float] = {}
        callees: dict[tuple[str, str], list[_model.Stack]] = {}
        for stack in stacks:
            seconds[stack.phase] = seconds.get(stack.phase, 0.0) + stack.seconds
            if depth:
                line = flame.frames[stack.frames[depth - 1]][2]
                lines[line] = lines.get(line, 0.0) + stack.seconds
            if depth < min(len(stack.frames), DEEPEST):
                callee = flame.frames[stack.frames[depth]]
                callees.setdefault((callee[0], callee[1]), []).append(stack)
        line = max(lines, key=lines.__getitem__, default=0)
        found.append(Node(depth, function, file, line, sum(seconds.values()), seconds))
        heavy = [(sum(one.seconds for one in rows), key, rows) for key, rows in callees.items()]
        heavy.sort(key=lambda callee: callee[0])
        waiting += [(depth + 1, key, rows) for total, key, rows in heavy if total >= least]
    return found


def _visible(flame: _model.Flame) -> Sequence[_model.Stack]:
    hidden = {n for n, frame in enumerate(flame.frames) if frame[1].startswith(_TRANSPARENT)}
    if not hidden:
        return flame.stacks
    return [
        dataclasses.replace(stack, frames=tuple(n for n in stack.frames if n not in hidden))
        for stack in flame.stacks
    ]


def _table(nodes: Sequence[Node], below: str) -> dict[str, Any]:
    phases = sorted(nodes[0].seconds, key=_colours.rank)
    numbers = {phase: number for number, phase in enumerate(phases)}
    names: dict[tuple[str, str], int] = {}
    rows = [
        [
            node.depth,
            names.setdefault((node.function, node.file), len(names)),
            node.line,
            _units(node.total),
            _mix(node.seconds, numbers),
        ]
        for node in nodes
    ]
    return {
        "unit": _UNITS_PER_S,
        "phases": [[_words.clean(phase, 80), _colours.css_class(phase)] for phase in phases],
        "names": [[_words.clean(f), _words.short_path(p, below) if p else ""] for f, p in names],
        "nodes": rows,
    }


def _mix(seconds: dict[str, float], numbers: dict[str, int]) -> int | Sequence[int]:
    if len(seconds) == 1:
        return numbers[next(iter(seconds))]
    ordered = sorted(seconds.items(), key=lambda item: numbers[item[0]])
    return [figure for phase, one in ordered for figure in (numbers[phase], _units(one))]


def _units(seconds: float) -> int:
    return round(seconds * _UNITS_PER_S)
