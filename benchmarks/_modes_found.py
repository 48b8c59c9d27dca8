"""What the modes save, and what they find: from the runs of `nox -s modes`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks._claims_measured import Amount, Spread
from benchmarks._modes_runs import MODES, PLAIN, RANDOM

NEAR = 0.02  # how far below its target the interval may begin
TARGETS = {"fast": (0.75, 0.97), "balanced": (0.55, 1.0), "thorough": (0.35, 1.0)}
"""Mode -> the share of the time that is saved, and the quality that is kept, at least."""

Run = Mapping[str, Any]  # a seed: "workload", "seed", "arms"


@dataclass(frozen=True)
class ModeFound:
    """A mode on a workload, over all seeds; intervals are 3 standard errors."""

    workload: str
    mode: str
    speedup: Spread  # wall time, plain over mode
    quality: Amount  # 0 as a point drawn at random, 1 as plain
    beside_search: Amount  # the same, 0 as a random search of as many trials
    seeds: int

    @property
    def saved(self) -> Amount:
        """The share of the plain search's time that is saved."""
        ends = (self.speedup.ratio, self.speedup.low, self.speedup.high)
        return Amount(*(1.0 - 1.0 / ratio for ratio in ends))

    @property
    def missed(self) -> tuple[str, ...]:
        """Which targets its intervals lie below, by more than is near."""
        time, quality = TARGETS[self.mode]
        found = (("time", self.saved.low, time), ("quality", self.quality.low, quality))
        return tuple(name for name, low, target in found if low < target - NEAR)


def found_modes(runs: Sequence[Run]) -> list[ModeFound]:
    """Every mode on every workload that was run with two seeds at least."""
    workloads = dict.fromkeys(run["workload"] for run in runs)
    found = []
    for workload in workloads:
        mine = [run["arms"] for run in runs if run["workload"] == workload]
        if len(mine) > 1:
            found += [_found(workload, mode, mine) for mode in MODES]
    return found


def _found(workload: str, mode: str, arms: Sequence[Mapping[str, Any]]) -> ModeFound:
    return ModeFound(
        workload,
        mode,
        speedup=Spread.of(arm[PLAIN]["wall_s"] / arm[mode]["wall_s"] for arm in arms),
        quality=_quality(mode, arms, "mean_value"),
        beside_search=_quality(mode, arms, "value"),
        seeds=len(arms),
    )


def _quality(mode: str, arms: Sequence[Mapping[str, Any]], zero: str) -> Amount:
    """(value - random) / (plain - random): what is gained over the mean random value.

    The gain that it is a share of is the mean over all seeds; the interval is of the differences
    seed by seed, since mode and plain start from the same points.
    """
    gain = statistics.fmean(arm[PLAIN]["value"] - arm[RANDOM][zero] for arm in arms)
    if gain == 0.0:
        return Amount(math.nan, math.nan, math.nan)
    shares = [1.0 + (arm[mode]["value"] - arm[PLAIN]["value"]) / gain for arm in arms]
    return Amount.of(shares)


def worst(found: Iterable[ModeFound], mode: str) -> tuple[Spread, Amount] | None:
    """The least speed-up and the least quality of a mode on any workload; None where it was not
    run.
    """
    mine = [one for one in found if one.mode == mode]
    if not mine:
        return None
    return (
        min((one.speedup for one in mine), key=lambda spread: spread.ratio),
        min((one.quality for one in mine), key=lambda amount: amount.value),
    )
