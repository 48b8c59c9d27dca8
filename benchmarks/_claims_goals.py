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


class GoalVerdict(enum.StrEnum):
    """What was found of a goal."""

    REACHED = "goal reached"
    MISSED = "goal missed"


@dataclass(frozen=True)
class Goal:
    """One figure that was set beforehand, and what we hold of it anywhere."""

    kind: GoalKind
    goal: float | None = None
    floor: float | None = None  # of added seconds the most
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
        if self.kind is GoalKind.ADDED:
            return self.found.low > self.floor
        return self.found.high < self.floor


def with_found(goal: Goal, measured: Measured, trials: int) -> Goal:
    """The goal with what was found of it, and whether that reaches it."""
    if goal.kind is GoalKind.ADDED:
        found = measured.saved_s.times(-1.0 / trials)
        found = Amount(found.value, found.high, found.low)  # turned over by the sign
    else:
        spread: Spread = getattr(measured, goal.kind)
        found = Amount(spread.ratio, spread.low, spread.high)
    if goal.goal is None:
        return replace(goal, found=found)
    below = found.value <= goal.goal
    reached = below if goal.kind is GoalKind.ADDED else found.value >= goal.goal
    return replace(
        goal, found=found, verdict=GoalVerdict.REACHED if reached else GoalVerdict.MISSED
    )
