"""Whole studies measured: a process calls each side once, and compares these answers.

The gate's processes call each side several times, so that the first call warms the others up. A
study of a minute warms itself up, and its path's `setup` runs a short one of each side before.

    python -m benchmarks._claims_once PATH CASE first|second CORE
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks._claims_answers import asked, code
from benchmarks._claims_measured import QUICK_PROCESSES, Begun, Measured
from benchmarks.gate.clocks import clock
from benchmarks.gate.errors import BodyRaisedError
from benchmarks.gate.harness import Side
from benchmarks.gate.outcome import Key, pair_core
from benchmarks.gate.ratio import Interleaved

PROCESSES = 3
LONG_S, LONG_PROCESSES = 3.0, 2  # where the slow way takes longer than that


def measure_once(
    side: Side, key: Key, *, quick: bool, begun: Begun = lambda at, of: None
) -> Measured:
    """Both sides in fresh processes, once in each, the slow way first in every other one.

    Raises `BodyRaisedError` where a side failed, or the answers of a process disagree.
    """
    found: list[Interleaved] = []
    processes = QUICK_PROCESSES if quick else PROCESSES
    while len(found) < processes:
        begun(len(found) + 1, processes)
        order = "second" if len(found) % 2 else "first"
        core = pair_core()
        words = [*key, order, "-" if core is None else str(core)]
        answer = asked(side, key, __name__, words)
        if not answer["agree"]:
            raise BodyRaisedError(f"{key[0]}[{key[1]}]: before and after disagree")
        found.append(Interleaved(answer["before"], answer["after"]))
        if found[-1].before["wall_s"] > LONG_S:
            processes = min(processes, LONG_PROCESSES)
    return Measured.of(found)


# --- in the process


def taken(body: Any, read_ns: Callable[[], int], order: str) -> dict[str, Any]:
    """Seconds of each side by both clocks, and whether their answers agree."""
    sides = ("before", "after") if order == "first" else ("after", "before")
    found: dict[str, Any] = {}
    answers = {}
    for side in sides:
        body.fresh()
        call = getattr(body, side)
        cpu_start, wall_start = read_ns(), time.perf_counter()
        answers[side] = call()
        wall_s, cpu_s = time.perf_counter() - wall_start, (read_ns() - cpu_start) / 1e9
        found[side] = {"wall_s": wall_s, "cpu_s": cpu_s}
    return found | {"agree": body.agree(answers["before"], answers["after"])}


def _main(words: Sequence[str]) -> int:
    from benchmarks import _engine

    name, label, order, core = words
    path = _engine.find(name)
    if core != "-":
        with contextlib.suppress(AttributeError, OSError):  # no affinity outside Linux
            os.sched_setaffinity(0, {int(core)})
    body = path.case(label).open()
    try:
        answer = taken(body, clock(path.clock), order)
    finally:
        body.close()
    print(json.dumps({"code": code(), **answer}))
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
