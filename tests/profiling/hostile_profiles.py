"""Profiles that strain the reports: hostile names, endless stacks, a minute of many workers."""

from __future__ import annotations

import dataclasses
import functools
import random
from typing import TYPE_CHECKING

from sample_profiles import PHASES, RUN, SITE, growing
from script_modules import script_module

if TYPE_CHECKING:
    import _model as model
else:
    model = script_module("_model")

HOSTILE = (
    "</script><script>window.harmed=1</script>",
    '"><img src=x onerror="window.harmed=1">',
    "<!--<script>",
    "a\u202egnirts\u2028\u2029b",
    "\x1b[31mred\x1b[0m\x07\x00\r\n",
    "stüdy \udcff \N{SNOWMAN}",
    "`code` {0} {__class__} %s ${x}",
    "https://example.invalid/x.js",
    "' onmouseover='window.harmed=1' x='",
    "x" * 5000,
)


@functools.cache
def hostile() -> model.Profile:
    """A profile whose every text tries to be something else."""
    names, count = HOSTILE, len(HOSTILE)
    hang = "".join(names)
    frames = tuple((name, f"/tmp/{name}/{name}.py", n) for n, name in enumerate(names))
    stacks = tuple(model.Stack(tuple(range(n + 1)), 0.5 + n, name) for n, name in enumerate(names))
    phases = tuple(
        model.Phase(name, 1.0, 1 / count, 1.0, 0.5, 2.0, (model.Hot(name, name, 3, 0.5),))
        for name in names
    )
    segments = tuple(model.Segment(float(n), n + 0.5, name) for n, name in enumerate(names))
    return model.Profile(
        kind="time",
        title=hang,
        run={**dict.fromkeys(RUN, hang), "command": list(names), hang: hang},
        duration_s=10.0,
        trials=tuple(model.Trial(n, 1, float(n), n + 0.9, hang) for n in range(20)),
        trials_absent=hang,
        phases=phases,
        lanes=(
            model.Lane(1, hang, 0.0, 10.0, 3.0, segments),
            model.Lane(2, hang, 1.0, 9.0, 1.0, ()),
        ),
        flame=model.Flame(frames, stacks),
        memory=_memory(hang),
        advice=tuple(model.Advice(name, 0.2, name, name, name) for name in names),
        remarks=names,
    )


def _memory(hang: str) -> model.Memory:
    return model.Memory(
        processes=(
            model.Process(1, None, hang, False, hang, None),
            model.Process(2, 1, hang, True, "", 5),
        ),
        curves=(model.Curve(1, ((0.0, 5, None), (9.0, 500, 20))),),
        leak=model.Leak(1e6, 9e5, 1.1e6, hang, hang, 5, 1),
        leak_absent=hang,
        allocators=(
            model.Allocator(hang, hang, 1, 5_000, 2, 1),
            model.Allocator(hang, hang, 1, 5, 2, 2),
        ),
        peak_bytes=500,
    )


@functools.cache
def wide(
    stacks: int = 20_000, lanes: int = 8, seconds: float = 60.0, seed: int = 5
) -> model.Profile:
    """A minute of many workers: thousands of different stacks, no two trials alike."""
    rng = random.Random(seed)
    names = tuple(PHASES)
    frames = tuple(
        (f"function_{n}", f"{SITE}/package_{n % 97}/module_{n % 211}.py", n) for n in range(4_000)
    )
    made = []
    for _ in range(stacks):
        depths = range(rng.randint(8, 45))
        path = (0, *(min(3_999, depth * 80 + int(rng.expovariate(0.15))) for depth in depths))
        made.append(model.Stack(path, rng.expovariate(1.0) * 0.02, rng.choice(names)))
    trials = tuple(
        model.Trial(n, n % lanes, n * 0.006, (n + 8) * 0.006, "complete") for n in range(9_900)
    )
    return dataclasses.replace(
        growing(trials=60),
        duration_s=seconds,
        trials=trials,
        lanes=tuple(_lane(rng, number, seconds) for number in range(lanes)),
        flame=model.Flame(frames, tuple(made)),
    )


def _lane(rng: random.Random, number: int, seconds: float) -> model.Lane:
    names, now, segments = tuple(PHASES), 0.0, []
    while now < seconds:
        length = rng.expovariate(1 / 0.005)
        segments.append(model.Segment(now, min(seconds, now + length), rng.choice(names)))
        now += length * 1.1
    return model.Lane(number, "MainThread", 0.0, seconds, seconds * 0.9, tuple(segments))


@functools.cache
def deep(depth: int = 3_000) -> model.Profile:
    """A function that calls itself so deeply that no recursion of ours could follow."""
    flame = model.Flame(
        (("again", "/tmp/again.py", 3),), (model.Stack((0,) * depth, 9.0, "other"),)
    )
    return dataclasses.replace(growing(trials=60), flame=flame)
