"""Before against after on the same code: what a claim of a speedup is made of."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from .errors import BodyRaisedError
from .harness import Side, WorkerProcess
from .measure import Key, Plan, pair_core
from .rules import trimmed_mean

PROCESSES = 5
ROUNDS = 5
LONG_S = 1.0  # a `before` of this length is run once a process, and in fewer processes


@dataclass(frozen=True)
class Ratio:
    """before / after over fresh processes: > 1 means that after is faster."""

    cpu: float
    low: float  # cpu, mean - 3 se
    high: float  # cpu, mean + 3 se
    wall: float
    before_s: float  # wall seconds a call
    after_s: float


def claim_ratio(side: Side, key: Key, *, quick: bool = False) -> Ratio:
    """Interleave before and after in fresh processes; `quick` takes two processes.

    Raises `BodyRaisedError` where the sides disagree: then no time of theirs counts.
    """
    cpu: list[float] = []
    wall: list[float] = []
    before_s: list[float] = []
    after_s: list[float] = []
    processes = 2 if quick else PROCESSES
    while len(cpu) < processes:
        with WorkerProcess(side, core=pair_core()) as worker:
            warm = worker.ask("open", path=key[0], case=key[1])
            plan = Plan.of(warm["cpu_s"])
            if not cpu and not worker.ask("compare")["agree"]:
                raise BodyRaisedError(f"{key[0]}[{key[1]}]: before and after disagree")
            first = worker.ask("measure", calls=1, side="before")
            if first["wall_s"] > LONG_S:
                processes = min(processes, 3)
            rounds = 1 if first["wall_s"] > LONG_S else ROUNDS
            slow = [first] if rounds == 1 else []
            fast = [worker.ask("measure", calls=plan.calls)] if rounds == 1 else []
            while len(slow) < rounds:
                slow.append(worker.ask("measure", calls=1, side="before"))
                fast.append(worker.ask("measure", calls=plan.calls))
        cpu.append(math.log(_mean(slow, "cpu_s") / _mean(fast, "cpu_s")))
        wall.append(math.log(_mean(slow, "wall_s") / _mean(fast, "wall_s")))
        before_s.append(_mean(slow, "wall_s"))
        after_s.append(_mean(fast, "wall_s"))
    mean, spread = statistics.fmean(cpu), 3 * statistics.stdev(cpu) / math.sqrt(len(cpu))
    return Ratio(
        cpu=math.exp(mean),
        low=math.exp(mean - spread),
        high=math.exp(mean + spread),
        wall=math.exp(statistics.fmean(wall)),
        before_s=statistics.fmean(before_s),
        after_s=statistics.fmean(after_s),
    )


def _mean(samples: list[dict[str, float]], field: str) -> float:
    return trimmed_mean([sample[field] for sample in samples])
