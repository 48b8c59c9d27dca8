"""How much of a trial a slow way takes, and how much of it the fast way saves.

Only Optuna's own cost of a trial is measured; the objectives of 10 ms and 1 s are added to it,
since measuring a sleep would prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks._claims_table import Per

OBJECTIVES = {"trivial": 0.0, "10 ms": 0.01, "1 s": 1.0}  # what the objective adds, seconds
RUN = "1 s"  # the objective of the run of which a report names a share: its trials take seconds


@dataclass(frozen=True)
class Share:
    """Of a trial that uses the slow way, with an objective of some length; 1.0 is all of it."""

    objective: str
    slow: float  # what the slow way takes
    saved: float  # what the fast way saves; below 0 it costs


def shares(
    before_s: float, after_s: float, trials: int, per: Per, trial_s: float
) -> tuple[Share, ...]:
    """The share for each objective; `trial_s` is what a trial costs Optuna alone.

    Work that is the objective itself has no other beside it: one share. Work that is whole trials
    has Optuna's cost in it already.
    """
    found = []
    for objective in OBJECTIVES:
        whole_s = _whole_s(before_s, trials, per, trial_s, objective)
        found.append(Share(objective, before_s / whole_s, (before_s - after_s) / whole_s))
    return tuple(found[:1]) if per is Per.OBJECTIVE else tuple(found)


def share_of_run(before_s: float, trials: int, per: Per, trial_s: float) -> float:
    """What a second saved by a call is of the run that a report speaks of."""
    return 1 / _whole_s(before_s, trials, per, trial_s, RUN)


def _whole_s(before_s: float, trials: int, per: Per, trial_s: float, objective: str) -> float:
    """Seconds that the trials take, the slow way and the objective included."""
    beside_s = OBJECTIVES[objective] + (0.0 if per is Per.RUN else trial_s)
    return before_s + trials * beside_s
