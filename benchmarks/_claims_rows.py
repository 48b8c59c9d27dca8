"""One line of the claims table: what is reported, what was measured, and the verdict."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks._claims_figures import (
    ClaimVerdict,
    Counted,
    Figure,
    Unit,
    found_figures,
    judged,
    reached,
    reported_figures,
    together,
    unclear,
)
from benchmarks._claims_goals import Goal, with_found
from benchmarks._claims_measured import Amount, Measured, Spread
from benchmarks._claims_share import Share, shares
from benchmarks._claims_table import STUDY_TRIALS, Claim, Per
from benchmarks._registry import PEERS

_SHOWN_BY, _NOT_HERE = "shown by pytest ", ", not here"  # of a row that a test stands for


class Role(enum.StrEnum):
    """What a line is to its claim."""

    CLAIM = "claim"
    BESIDE = "beside"  # another way of ours, below the claim's own line
    PLAIN = "plain"  # ours against the best way with plain libraries
    OURS = "ours"  # a hot path that no report speaks of


@dataclass(frozen=True)
class Line:
    """What is to be measured, or only told, for one line of the table."""

    role: Role
    claim: Claim
    path: str = ""
    case: str = ""
    judged: str = ""  # the case the path's claim is judged at
    trials: int | None = None  # that the work stands for
    what: str = ""  # it compares
    once: bool = False  # each side is called once in a process

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
    figures: tuple[Figure, ...]
    verdict: ClaimVerdict
    notes: tuple[str, ...] = ()
    trials: int | None = None
    per: Per = Per.TRIAL
    measured: Measured | None = None
    shares: tuple[Share, ...] = ()
    before_plain: Spread | None = None  # wall time, the best plain way's over ours
    goals: tuple[Goal, ...] = ()  # that this project set itself, where no report speaks of it

    @property
    def name(self) -> str:
        return f"{self.hot_path}[{self.case}]" if self.hot_path else self.claim

    @property
    def wall(self) -> Spread | None:
        """before / after of wall time: measured here, or found by a command of its own."""
        if self.measured:
            return self.measured.wall
        found = (one.found for one in self.figures if one.unit is Unit.WALL)
        return next((Spread(one.value, one.low, one.high) for one in found if one), None)

    @property
    def rerun(self) -> str:
        """The line that finds the same again; nothing where there is nothing to run."""
        if self.verdict is ClaimVerdict.NOT_BUILT:
            return ""
        if self.role is Role.OURS:
            session = "parity" if self.hot_path.startswith(PEERS) else "claims"
            return f"nox -s {session} -- {self.hot_path}"
        if any(figure.unit is Unit.QUALITY for figure in self.figures):  # a mode of efficiency
            return "nox -s modes"
        shown_by = next((note for note in self.notes if note.startswith(_SHOWN_BY)), "")
        if shown_by:
            return f"nox -s tests -- {shown_by.removeprefix(_SHOWN_BY).removesuffix(_NOT_HERE)}"
        return f"nox -s claims -- {self.claim}"

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
            "figures": tuple(map(Figure.from_json, table["figures"])),
            "notes": tuple(table["notes"]),
            "shares": tuple(Share(**share) for share in table["shares"]),
            "before_plain": Spread(**plain) if plain else None,
            "goals": tuple(map(Goal.from_json, table.get("goals", ()))),  # older files have none
        }
        if measured:
            clocks = {clock: Spread(**measured[clock]) for clock in ("wall", "cpu")}
            saved = Amount(**measured["saved_s"])
            typed["measured"] = Measured(**{**measured, **clocks, "saved_s": saved})
        return cls(**{**table, **typed})


# --- the rows


def measured_row(
    line: Line, measured: Measured, counted: Counted, trial_s: float, uncounted: str = ""
) -> Row:
    """The row of a line that was measured.

    `counted` has the bytes that are kept, too, where a goal asks for them.
    `trial_s` is what a trial costs Optuna alone; `uncounted` why the counts that the report speaks
    of could not be had: a claim of nothing else is then not measured.
    """
    claim, verdict = line.claim, ClaimVerdict.OURS
    notes = [f"not counted: {uncounted}"] if uncounted else []
    given = measured, counted, line.trials, claim.per, trial_s
    figures = found_figures(_figures(line), *given)
    if line.role is Role.CLAIM:
        figures = tuple(map(judged, figures))
        verdict = together(figures)
        notes += _claim_notes(line, figures)
    shown: tuple[Share, ...] = ()
    if line.trials is not None:
        times = measured.before_s, measured.after_s
        shown = shares(*times, line.trials, claim.per, trial_s)
    kept = counted.get("bytes")
    goals = tuple(with_found(goal, measured, line.trials or 1, kept) for goal in claim.goals)
    notes += [claim.note] if claim.goals and claim.note else []
    row = _row(line, verdict, notes)
    return replace(row, measured=measured, shares=shown, figures=figures, goals=goals)


def _figures(line: Line) -> tuple[Figure, ...]:
    """What the line is compared with: of a line below a claim the counts alone."""
    figures = reported_figures(line.claim)
    if line.role is Role.CLAIM:
        return figures
    counts = tuple(figure for figure in figures if figure.unit is Unit.COUNT)
    return counts if line.role is Role.BESIDE else ()


def _claim_notes(line: Line, figures: tuple[Figure, ...]) -> list[str]:
    """What a claim's own row tells beside its figures."""
    claim, notes = line.claim, []
    missed = [figure for figure in figures if figure.verdict is ClaimVerdict.NOT_REPRODUCED]
    if missed:
        notes.append(f"not reproduced, because {_reason(line, missed)}")
    if line.case != line.judged:
        notes.append(f"measured at {line.case}; the claim is judged at {line.judged}")
    if line.trials is None:
        notes.append(f"claims.toml says of no trials at {line.case}: no share of a trial")
    notes += [claim.note] if claim.note else []
    if claim.plain and not claim.plain_path:
        notes.append(f"plain libraries, not measured: {claim.plain}")
    return notes


def _reason(line: Line, missed: list[Figure]) -> str:
    """What explains a shortfall does not explain an interval that is too wide."""
    wide = "the interval is too wide to tell"
    if all(figure.found and reached(figure, figure.found) for figure in missed):
        return wide
    elsewhere = "it was measured at another case" if line.case != line.judged else ""
    unknown = wide if all(map(unclear, missed)) else "of what nobody looked into"
    return line.claim.because or elsewhere or unknown


def told_row(line: Line) -> Row:
    """The row of a claim that nothing measures: a test shows that it works, or it is not built."""
    claim = line.claim
    verdict = ClaimVerdict.NOT_BUILT
    if claim.tested_by:
        verdict = ClaimVerdict.SIMULATED if claim.simulated else ClaimVerdict.WORKS
    notes = [f"{_SHOWN_BY}{claim.tested_by}{_NOT_HERE}"] if claim.tested_by else []
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
        what=line.what,
        source=claim.source if own else "",
        said=claim.said if own else "",
        figures=_figures(line),
        verdict=verdict,
        notes=tuple(notes),
        trials=line.trials,
        per=claim.per,
    )
