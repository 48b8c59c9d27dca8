"""What a report claims in figures, what was found here of each, and the verdict on it."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks._claims_measured import Amount, Measured
from benchmarks._claims_share import share_of_run
from benchmarks._claims_table import STUDY_TRIALS, Claim, Per

NEAR = 0.10  # a figure reproduces where the found gain is at most this far below the reported
NEAR_QUALITY = 0.02  # and a quality where its interval begins at most this far below

Counted = Mapping[str, tuple[int, int]]  # name -> of one call of before, of one of after


class ClaimVerdict(enum.StrEnum):
    """What a row says of a reported claim, or a figure of one."""

    EXCEEDED = "exceeded"
    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    WORKS = "works"  # not a speed claim
    SIMULATED = "simulator only"  # not a speed claim, and seen nowhere else to work
    NOT_BUILT = "not built yet"
    OURS = "not reported"
    FAILED = "not measured"


class Unit(enum.StrEnum):
    """What a figure is."""

    WALL = "wall time"  # before / after
    SECONDS = "seconds"  # that STUDY_TRIALS trials save
    SHARE = "share"  # of a run that is saved
    COUNT = "count"  # before / after, of what is counted
    BYTES = "bytes"  # that the fast way leaves, at most
    QUALITY = "quality"  # of what is found, 1.0 is as good as plain


@dataclass(frozen=True)
class Figure:
    """One figure of a report: the least and the most it gives, and what was found of it here."""

    unit: Unit
    least: float
    most: float
    name: str = ""  # of what is counted, or of what a further factor of wall time is
    found: Amount | None = None
    sides: tuple[int, int] | None = None  # of a count, or of bytes: before's and after's
    verdict: ClaimVerdict | None = None

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Figure:
        """The figure that `dataclasses.asdict` and JSON made this table of."""
        found, sides, verdict = table["found"], table["sides"], table["verdict"]
        typed: dict[str, Any] = {
            "unit": Unit(table["unit"]),
            "found": Amount(**found) if found else None,
            "sides": tuple(sides) if sides else None,
            "verdict": ClaimVerdict(verdict) if verdict else None,
        }
        return cls(**{**table, **typed})


def reported_figures(claim: Claim) -> tuple[Figure, ...]:
    """The figures of the claim's report, the one that its row shows first; nothing is found yet."""
    found = [
        Figure(unit, *given)
        for unit, given in (
            (Unit.WALL, claim.reported),
            (Unit.SECONDS, claim.saved_s),
            (Unit.SHARE, claim.saved_share),
            (Unit.QUALITY, claim.quality),
        )
        if given is not None
    ]
    found += [Figure(Unit.WALL, *given, name=name) for name, given in claim.reported_also.items()]
    found += [Figure(Unit.COUNT, *given, name=name) for name, given in claim.counted.items()]
    found += [Figure(Unit.BYTES, most, most, name=name) for name, most in claim.at_most.items()]
    return tuple(found)


def found_figures(
    figures: Sequence[Figure],
    measured: Measured,
    counted: Counted,
    trials: int | None,
    per: Per,
    trial_s: float,
) -> tuple[Figure, ...]:
    """The figures with what was found; what could not be had stays unknown.

    `trials` is how many the work stands for, `trial_s` what a trial costs Optuna alone.
    """

    def found(figure: Figure) -> Figure:
        if figure.unit in (Unit.COUNT, Unit.BYTES):
            return replace(figure, sides=counted.get(figure.name))
        wall, saved = measured.wall, measured.saved_s
        if figure.unit is Unit.WALL:
            return replace(figure, found=Amount(wall.ratio, wall.low, wall.high))
        if trials is None:
            return figure
        if figure.unit is Unit.SECONDS:
            return replace(figure, found=saved.times(STUDY_TRIALS / trials))
        share = share_of_run(measured.before_s, trials, per, trial_s)
        return replace(figure, found=saved.times(share))

    return tuple(map(found, figures))


# --- verdicts


def judged(figure: Figure) -> Figure:
    """The figure with its verdict, where it is known.

    Exceeded where all of the interval lies above what is reported; reproduced where the gain is at
    most `NEAR` below the least that is, and there is one at either end of the interval. Wall time
    stands against wall time, as the reports measured. Bytes are below what is reported, or not.
    """
    if figure.unit is Unit.BYTES:
        if figure.sides is None:
            return figure
        kept = figure.sides[1] < figure.most
        return replace(
            figure, verdict=ClaimVerdict.REPRODUCED if kept else ClaimVerdict.NOT_REPRODUCED
        )
    found = figure.found
    if figure.sides is not None:
        times = factor(*figure.sides)
        found = Amount(times, times, times)
    if found is None:
        return figure
    verdict = ClaimVerdict.NOT_REPRODUCED
    if found.low > figure.most:
        verdict = ClaimVerdict.EXCEEDED
    elif figure.unit is Unit.QUALITY:
        if found.low >= figure.least - NEAR_QUALITY:
            verdict = ClaimVerdict.REPRODUCED
    elif reached(figure, found) and found.low > _no_gain(figure):
        verdict = ClaimVerdict.REPRODUCED
    return replace(figure, verdict=verdict)


def nearly(figure: Figure) -> float:
    """The least that reproduces: of 1.1x, a gain of a tenth, a tenth less is 1.09x, not 0.99x."""
    none = _no_gain(figure)
    return none + (figure.least - none) * (1 - NEAR)


def reached(figure: Figure, found: Amount) -> bool:
    """Whether what was found is as much as reproduces, however wide its interval."""
    return found.value >= nearly(figure)


def _no_gain(figure: Figure) -> float:
    return 0.0 if figure.unit in (Unit.SECONDS, Unit.SHARE) else 1.0


def unclear(figure: Figure) -> bool:
    """Whether its interval reaches what would have reproduced."""
    return figure.found is not None and figure.found.high >= nearly(figure)


def factor(before: int, after: int) -> float:
    """before / after, where either may be nothing at all."""
    if before == after:
        return 1.0
    return before / after if after else math.inf


_WORST_FIRST = (ClaimVerdict.NOT_REPRODUCED, ClaimVerdict.REPRODUCED, ClaimVerdict.EXCEEDED)


def together(figures: Sequence[Figure]) -> ClaimVerdict:
    """The worst verdict of the figures that are known; a claim without figures works."""
    if not figures:
        return ClaimVerdict.WORKS
    verdicts = {figure.verdict for figure in figures}
    return next((word for word in _WORST_FIRST if word in verdicts), ClaimVerdict.FAILED)
