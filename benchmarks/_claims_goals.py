"""What this project wants of a hot path that no report speaks of: goals, floors, what was found."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks._claims_measured import Amount, Measured, Spread


class GoalKind(enum.StrEnum):
    """What a goal is about, before against after."""

    WALL = "wall"  # before / after, at least
    CPU = "cpu"  # before / after, at least
    ADDED = "added_s"  # wall seconds that a trial takes more than the first side's, at most
    MEMORY = "memory"  # bytes that are kept, before / after, at least
    BYTES = "bytes"  # that are kept of a trial by the second side, at most


AT_MOST = (GoalKind.ADDED, GoalKind.BYTES)  # the others are at least
KEPT = (GoalKind.MEMORY, GoalKind.BYTES)  # of the figure "bytes" of the answers


class GoalVerdict(enum.StrEnum):
    """What was found of a goal."""

    REACHED = "goal reached"
    MISSED = "goal missed"


@dataclass(frozen=True)
class Goal:
    """One figure that was set beforehand, and what we hold of it anywhere."""

    kind: GoalKind
    goal: float | None = None
    floor: float | None = None  # of what is at most, the most
    found: Amount | None = None
    verdict: GoalVerdict | None = None

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Goal:
        """The goal that `dataclasses.asdict` and JSON made this table of."""
        found, verdict = table["found"], table["verdict"]
        typed: dict[str, Any] = {
            "kind": GoalKind(table["kind"]),
            "found": Amount(**found) if found else None,
            "verdict": GoalVerdict(verdict) if verdict else None,
        }
        return cls(**{**table, **typed})

    @property
    def broken(self) -> bool:
        """Whether all of the interval lies on the wrong side of the floor."""
        if self.floor is None or self.found is None:
            return False
        if self.kind in AT_MOST:
            return self.found.low > self.floor
        return self.found.high < self.floor


def with_found(
    goal: Goal, measured: Measured, trials: int, kept: tuple[int, int] | None = None
) -> Goal:
    """The goal with what was found of it, and whether that reaches it.

    `kept`: bytes of both sides; what they are asked of is not found without them.
    """
    found = _found(goal.kind, measured, trials, kept)
    if goal.goal is None or found is None:
        return replace(goal, found=found)
    below = found.value <= goal.goal
    reached = below if goal.kind in AT_MOST else found.value >= goal.goal
    return replace(
        goal, found=found, verdict=GoalVerdict.REACHED if reached else GoalVerdict.MISSED
    )


def _found(
    kind: GoalKind, measured: Measured, trials: int, kept: tuple[int, int] | None
) -> Amount | None:
    if kind is GoalKind.ADDED:
        found = measured.saved_s.times(-1.0 / trials)
        return Amount(found.value, found.high, found.low)  # turned over by the sign
    if kind in KEPT:
        if kept is None:
            return None
        value = kept[1] / trials if kind is GoalKind.BYTES else kept[0] / kept[1]
        return Amount(value, value, value)  # of one process
    spread: Spread = getattr(measured, kind)
    return Amount(spread.ratio, spread.low, spread.high)
