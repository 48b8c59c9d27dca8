"""One line of the claims table: what is reported, what was measured, and the verdict."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks._claims_measured import Measured, Spread
from benchmarks._claims_share import Share, shares
from benchmarks._claims_table import STUDY_TRIALS, Claim, Per, Range

NEAR = 0.10  # a row reproduces where the measured gain is at most this far below the reported


class ClaimVerdict(enum.StrEnum):
    """What a row says of a reported claim."""

    EXCEEDED = "exceeded"
    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    WORKS = "works"  # not a speed claim
    NOT_BUILT = "not built yet"
    OURS = "not reported"
    FAILED = "not measured"


class Role(enum.StrEnum):
    """What a line is to its claim."""

    CLAIM = "claim"
    BESIDE = "beside"  # another way of ours, below the claim's own line
    PLAIN = "plain"  # ours against the best way with plain libraries
    OURS = "ours"  # a hot path that no report speaks of


Counted = Mapping[str, tuple[int, int]]  # counter -> of one call of before, of one of after


@dataclass(frozen=True)
class Line:
    """What is to be measured, or only told, for one line of the table."""

    role: Role
    claim: Claim
    path: str = ""
    case: str = ""
    judged: str = ""  # the case the path's claim is judged at
    trials: int | None = None  # that the work stands for

    @property
    def name(self) -> str:
        return f"{self.path}[{self.case}]" if self.path else self.claim.name


@dataclass(frozen=True)
class Row:
    """A line with what was found."""

    role: Role
    claim: str
    hot_path: str
    case: str
    what: str
    source: str
    said: str
    reported: Range | None
    verdict: ClaimVerdict
    notes: tuple[str, ...] = ()
    trials: int | None = None
    per: Per = Per.TRIAL
    measured: Measured | None = None
    shares: tuple[Share, ...] = ()
    before_plain: Spread | None = None  # wall time, the best plain way's over ours

    @property
    def name(self) -> str:
        return f"{self.hot_path}[{self.case}]" if self.hot_path else self.claim

    @property
    def stands_for(self) -> str:
        """The work in words: how many trials, and what of them."""
        if self.trials is None:
            return "-"
        if self.per is Per.STUDY:
            return f"once in {STUDY_TRIALS} trials"
        words = {Per.OBJECTIVE: "objective", Per.RUN: "whole trial"}.get(self.per, "trial")
        return f"{self.trials:,} {words}{'s' if self.trials > 1 else ''}"

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Row:
        """The row that `dataclasses.asdict` and JSON made this table of."""
        measured, plain = table["measured"], table["before_plain"]
        typed: dict[str, Any] = {
            "role": Role(table["role"]),
            "verdict": ClaimVerdict(table["verdict"]),
            "per": Per(table["per"]),
            "reported": tuple(table["reported"]) if table["reported"] else None,
            "notes": tuple(table["notes"]),
            "shares": tuple(Share(**share) for share in table["shares"]),
            "before_plain": Spread(**plain) if plain else None,
        }
        if measured:
            clocks = {clock: Spread(**measured[clock]) for clock in ("wall", "cpu")}
            typed["measured"] = Measured(**{**measured, **clocks})
        return cls(**{**table, **typed})


# --- the verdict


def judge(reported: Range | None, measured: Spread) -> ClaimVerdict:
    """Wall time against wall time, as the reports measured.

    Exceeded where all of the interval lies above what is reported, reproduced where the gain over 1
    is at most `NEAR` below the least that is; what a report gives no factor for works.
    """
    if reported is None:
        return ClaimVerdict.WORKS
    least, most = reported
    if measured.low > most:
        return ClaimVerdict.EXCEEDED
    near = measured.ratio >= nearly(least)
    return ClaimVerdict.REPRODUCED if near else ClaimVerdict.NOT_REPRODUCED


def nearly(reported: float) -> float:
    """The least ratio that reproduces: of a gain of a tenth, a tenth less is 1.09, not 0.99."""
    return 1 + (reported - 1) * (1 - NEAR)


def judge_counts(claim: Claim, counted: Counted) -> list[ClaimVerdict]:
    """The same for each count that the report speaks of; counts are exact."""
    factors = {counter: factor(*counts) for counter, counts in counted.items()}
    return [judge(claim.counted[name], Spread(f, f, f)) for name, f in factors.items()]


def factor(before: int, after: int) -> float:
    """before / after, where either may be nothing at all."""
    if before == after:
        return 1.0
    return before / after if after else math.inf


_WORST_FIRST = (ClaimVerdict.NOT_REPRODUCED, ClaimVerdict.REPRODUCED, ClaimVerdict.EXCEEDED)


def _together(verdicts: list[ClaimVerdict]) -> ClaimVerdict:
    """The worst one; that something works counts where nothing else was reported."""
    return next((word for word in _WORST_FIRST if word in verdicts), ClaimVerdict.WORKS)


# --- the rows


def measured_row(
    line: Line, measured: Measured, counted: Counted, trial_s: float, uncounted: str = ""
) -> Row:
    """The row of a line that was measured.

    `trial_s` is what a trial costs Optuna alone; `uncounted` why the counts that the report speaks
    of could not be had: a claim of nothing else is then not measured.
    """
    claim, verdict = line.claim, ClaimVerdict.OURS
    notes = _count_notes(claim, counted) + ([f"not counted: {uncounted}"] if uncounted else [])
    if line.role is Role.CLAIM:
        verdict = _together([judge(claim.reported, measured.wall), *judge_counts(claim, counted)])
        if uncounted and claim.reported is None:
            verdict = ClaimVerdict.FAILED
        notes += _claim_notes(line, verdict, measured.wall)
    shown: tuple[Share, ...] = ()
    if line.trials is not None:
        times = measured.before_s, measured.after_s
        shown = shares(*times, line.trials, claim.per, trial_s)
    return replace(_row(line, verdict, notes), measured=measured, shares=shown)


def _claim_notes(line: Line, verdict: ClaimVerdict, wall: Spread) -> list[str]:
    """What a claim's own row tells beside its figures."""
    claim, notes = line.claim, []
    if verdict is ClaimVerdict.NOT_REPRODUCED:
        reached = claim.reported is not None and wall.high >= nearly(claim.reported[0])
        unknown = "the interval is too wide to tell" if reached else "of what nobody looked into"
        notes.append(f"not reproduced, because {claim.because or unknown}")
    if line.case != line.judged:
        notes.append(f"measured at {line.case}; the claim is judged at {line.judged}")
    if line.trials is None:
        notes.append(f"claims.toml says of no trials at {line.case}: no share of a trial")
    notes += [claim.note] if claim.note else []
    if claim.plain and not claim.plain_path:
        notes.append(f"plain libraries, not measured: {claim.plain}")
    return notes


def told_row(line: Line) -> Row:
    """The row of a claim that nothing measures: it works, as a test shows, or is not built."""
    claim = line.claim
    verdict = ClaimVerdict.WORKS if claim.tested_by else ClaimVerdict.NOT_BUILT
    notes = [f"shown by pytest {claim.tested_by}, not here"] if claim.tested_by else []
    if claim.hot_path:
        notes.append(f"the suites declare no {claim.hot_path} yet")
    notes += [claim.note] if claim.note else []
    notes += [f"plain libraries: {claim.plain}"] if claim.plain else []
    return _row(line, verdict, notes)


def failed_row(line: Line, reason: str) -> Row:
    """The row of a line whose measuring ended with an error."""
    return _row(line, ClaimVerdict.FAILED, [f"not measured: {reason}"])


def with_plain(rows: list[Row]) -> list[Row]:
    """Each claim's row knows how it stands against plain libraries, where that was measured."""
    plain = {
        row.claim: row.measured.wall for row in rows if row.role is Role.PLAIN and row.measured
    }
    return [
        replace(row, before_plain=plain[row.claim])
        if row.role is Role.CLAIM and row.claim in plain
        else row
        for row in rows
    ]


def _row(line: Line, verdict: ClaimVerdict, notes: list[str]) -> Row:
    claim, own = line.claim, line.role is Role.CLAIM
    return Row(
        role=line.role,
        claim=claim.name,
        hot_path=line.path,
        case=line.case,
        what=claim.plain if line.role is Role.PLAIN else claim.what if own else "",
        source=claim.source if own else "",
        said=claim.said if own else "",
        reported=claim.reported if own else None,
        verdict=verdict,
        notes=tuple(notes),
        trials=line.trials,
        per=claim.per,
    )


def _count_notes(claim: Claim, counted: Counted) -> list[str]:
    notes = []
    for counter, (before, after) in counted.items():
        least, most = claim.counted[counter]
        reported = f"{least:.4g}x" if least == most else f"{least:.4g}-{most:.4g}x"
        name = counter.replace("_", " ")
        notes.append(
            f"{name}: reported {reported}, counted {before:,} → {after:,}, "
            f"{factor(before, after):,.4g}x"
        )
    return notes
