"""The gate's budget: how long 50 hot paths take, green and red.

Small hot paths of many kinds are generated into a clone, a module of code and a suite that drives
it: until there are 50 with the real ones, and one of each kind where the real ones are more, some
of which are then left out. Their `before` is their `after`: only time is asked for. Their baselines
are stored and all kernels compiled first, so that a run is what a user has: only this code is
counted. Nearly all hot paths can import a file that is changed, so instructions are counted, too.
No compiled kernel is changed: it would be compiled anew, and nobody changes all of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks._answer import Answer
from benchmarks._planting import Clone, PlantError, Progress
from benchmarks._plants_kinds import Edit
from benchmarks._registry import load
from benchmarks.gate.table import counted

ENOUGH = 50
GREEN_S, RED_S = 180.0, 360.0
SHORTEST_S, LONGEST_S = 1e-4, 2e-2
MODULE, SUITE = "optimizer/synthetic.py", "benchmarks/synthetic.py"

CODE = '''"""Work of several kinds; n says how much of it."""

from __future__ import annotations

import json
import sqlite3


def count_in_dict(n: int) -> int:
    found: dict[int, int] = {}
    for i in range(n):
        place = i * 7919 % 1009
        found[place] = found.get(place, 0) + i
    return sum(found.values())


def rows_in_sqlite(n: int) -> int:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, str(i)) for i in range(n)))
    ((total,),) = connection.execute("SELECT sum(length(b)) FROM t").fetchall()
    connection.close()
    return int(total)


def numpy_sums(n: int) -> float:
    import numpy as np

    values = np.arange(n, dtype=np.float64)
    return float(np.sort(values[::-1] * 1.5).cumsum()[-1])


def json_round_trip(n: int) -> int:
    text = json.dumps([{"name": str(i), "value": i / 7} for i in range(n)])
    return len(json.loads(text))


def sort_by_key(n: int) -> int:
    return sorted(range(n), key=lambda i: i * 7919 % 10007)[n // 2]


def build_strings(n: int) -> int:
    return len(",".join([f"{i:x}-{i % 7}" for i in range(n)]))
'''

SUITE_HEAD = '''"""Generated hot paths, to see how long many of them take."""

from __future__ import annotations

from typing import Any

from benchmarks._registry import hot_path as _hot_path

_PLAIN = ("bytecodes", "instructions", "memory", "cpu", "wall")
_SQL = ("statements", "steps", "commits", "fsyncs", *_PLAIN)


class _Synthetic:
    params = (1,)
    param_names = ("size",)
    function = ""
    n = 0

    def setup(self, size: int) -> None:
        try:
            from optimizer import synthetic
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.work = getattr(synthetic, self.function)

    def before(self, size: int) -> Any:
        return self.work(self.n * size)

    def after(self, size: int) -> Any:
        return self.work(self.n * size)

    def agree(self, before: Any, after: Any) -> bool:
        return bool(before == after)
'''

SUITE_CLASS = '''

@_hot_path(claim="", witnesses={witnesses}, claim_at=1)
class {name}(_Synthetic):
    """{function} of {n}."""

    function = "{function}"
    n = {n}
'''


@dataclass(frozen=True)
class Kind:
    """A kind of work, and about how long one unit of it takes."""

    name: str
    function: str
    unit_s: float
    witnesses: str = "_PLAIN"


KINDS = (
    Kind("Dict", "count_in_dict", 1.5e-7),
    Kind("Sqlite", "rows_in_sqlite", 1e-6, "_SQL"),
    Kind("Numpy", "numpy_sums", 1.5e-8),
    Kind("Json", "json_round_trip", 3e-6),
    Kind("Sort", "sort_by_key", 2e-7),
    Kind("Strings", "build_strings", 3e-7),
)

SLOWER = Edit(
    MODULE,
    '    return len(",".join([f"{i:x}-{i % 7}" for i in range(n)]))',
    '    more = len(",".join([f"{i:x}-{i % 7}" for i in range(n // 10)]))\n'
    '    return len(",".join([f"{i:x}-{i % 7}" for i in range(n)])) + 0 * more',
)


def chosen(real: Sequence[str]) -> tuple[list[str], int]:
    """Which of the real hot paths take part, spread over all, and how many synthetic ones."""
    synthetic = max(len(KINDS), ENOUGH - len(real))
    taken = min(len(real), ENOUGH - synthetic)
    return [real[place * len(real) // taken] for place in range(taken)], synthetic


def _name(number: int) -> str:
    return f"{KINDS[number % len(KINDS)].name}{number // len(KINDS)}"


def suite(count: int) -> str:
    """The text of a suite of `count` hot paths, from the shortest to the longest of each kind."""
    steps = max(1, math.ceil(count / len(KINDS)) - 1)
    parts = [SUITE_HEAD]
    for number in range(count):
        kind, step = KINDS[number % len(KINDS)], number // len(KINDS)
        seconds = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** (step / steps)
        n = max(20, round(seconds / kind.unit_s))
        parts.append(
            SUITE_CLASS.format(
                name=_name(number), function=kind.function, n=n, witnesses=kind.witnesses
            )
        )
    return "".join(parts)


def budget(clone: Clone, progress: Progress) -> int:
    """Run the gate on 50 hot paths, green and red; 1 if an answer was wrong or late."""
    real, count = chosen([path.name for path in load()])
    names = [*real, *(f"synthetic.{_name(number)}" for number in range(count))]
    clone.reset()
    (clone.folder / MODULE).write_text(CODE, encoding="utf-8")
    (clone.folder / SUITE).write_text(suite(count), encoding="utf-8")
    clone.commit("synthetic hot paths")
    progress(f"set-up: storing the baselines of {count} synthetic hot paths, which takes minutes")
    seconds = clone.rebaseline("synthetic", "budget", progress)
    print(f"set-up, in no time below: {seconds:.0f} s for {count} stored baselines", flush=True)
    progress("the first run in a clone, which compiles every kernel")
    first = _run(clone, names, progress)
    print(f"set-up, in no time below: {first.seconds:.0f} s for a first run", flush=True)
    progress(
        f"{len(real)} hot paths and {count} synthetic ones, after a comment in every file "
        f"that no compiled kernel imports"
    )
    clone.touch(kernels=False)
    good = [_judged(_run(clone, names, progress), "green", 0, GREEN_S)]
    progress("the same, and one kind of work a tenth slower")
    clone.apply([SLOWER])
    good.append(_judged(_run(clone, names, progress), "red", 1, RED_S))
    clone.reset()
    return 0 if all(good) else 1


def _run(clone: Clone, paths: Sequence[str], progress: Progress) -> Answer:
    answer = clone.gate(*paths, progress=progress)
    if not answer.table:
        raise PlantError(f"the gate came to no report: {answer.errors}")
    return answer


def _judged(answer: Answer, name: str, code: int, limit_s: float) -> bool:
    """Print how a run stood; whether it was in time, and right."""
    in_time, right = answer.seconds <= limit_s, answer.code == code
    cases = len({(finding["path"], finding["case"]) for finding in answer.findings})
    print(
        f"{name}: {answer.seconds:.0f} s of {limit_s:.0f} s for {counted(cases, 'case')} "
        f"({'in time' if in_time else 'TOO LATE'}); exit code {answer.code}"
        f"{'' if right else f', expected {code}: {answer.said()}'}",
        flush=True,
    )
    print("\n".join(f"    {line}" for line in answer.table["notes"]))
    return in_time and right
