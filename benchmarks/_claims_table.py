"""claims.toml, read and checked: what the reports claim, and what measures it."""

from __future__ import annotations

import enum
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._claims_goals import AT_MOST, Goal, GoalKind
from benchmarks.gate.errors import UsageError

FILE = Path(__file__).with_name("claims.toml")
STUDY_TRIALS = 100  # of the study that work done once a study is a share of

# Every claim, in the order of the reports; one without a row in the file is not built yet.
ORDER = (
    *("dedup-insert", "dedup-insert-per-op", "dedup-lookup", "dedup-disk", "sqlite-settings"),
    *("signature-warm", "trial-key", "orjson-direct", "trial-load", "json-mtime"),
    *("step-decimals", "default-config", "result-path", "grid-expand", "metadata-batch"),
    *("quiet-loop", "value-clone", "fast-window", "precompute-features", "tracker"),
    *("tracker-fallback", "trade-stats", "workers", "pool", "shared-data"),
    *("incremental-cache", "database-store", "cross-session", "duplicate-served", "space-cap"),
    *("large-space", "gpu", "distributed", "run-savings", "run-100"),
    *("run-1000", "run-resume", "run-duplicates", "eff-subsample", "eff-parallel"),
    *("eff-cache", "eff-prune", "eff-smart", "eff-batch", "eff-memory"),
    *("mode-fast", "mode-balanced", "mode-thorough", "eff-overall", "eff-report", "eff-async"),
)

Range = tuple[float, float]  # the least and the most that is reported
COMPARED = "compared"  # the table of what the lines compare that are no claim's own
BEYOND = "beyond"  # the table of what this project set itself, where no report speaks of it


class Per(enum.StrEnum):
    """What the work of a claim's hot path is of the trials it stands for."""

    TRIAL = "trial"  # a part of them
    STUDY = "study"  # done once for all
    OBJECTIVE = "objective"  # their objectives
    RUN = "run"  # all of them, Optuna's own cost included


@dataclass(frozen=True)
class Claim:
    """A reported claim; the header of claims.toml says what each field means."""

    name: str
    what: str = ""
    source: str = ""
    reported: Range | None = None
    reported_also: Mapping[str, Range] = field(default_factory=dict)
    said: str = ""
    hot_path: str = ""
    trials: int | Mapping[str, int] = 0
    per: Per = Per.TRIAL
    saved_s: Range | None = None
    saved_share: Range | None = None
    counted: Mapping[str, Range] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    plain: str = ""
    plain_path: str = ""
    tested_by: str = ""
    simulated: bool = False
    mode: str = ""
    quality: Range | None = None
    cpu_floor: Mapping[str, float] = field(default_factory=dict)
    because: str = ""
    note: str = ""
    goals: tuple[Goal, ...] = ()  # of what is beyond the reports; no claim of theirs has any

    def trials_at(self, label: str, judged: str) -> int | None:
        """How many trials the work at case `label` stands for; None where nobody said."""
        if self.per is Per.STUDY:
            return STUDY_TRIALS
        if isinstance(self.trials, int):
            return self.trials if self.trials and label == judged else None
        return self.trials.get(label)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every hot path that it names."""
        named = (self.hot_path, *self.also, self.plain_path)
        return tuple(split_case(name)[0] for name in named if name)


def split_case(name: str) -> tuple[str, str]:
    """The hot path and the case of `suite.Class[case]`; no case where none is named."""
    path, _, case = name.partition("[")
    return path, case.removesuffix("]")


def read_compared(file: Path = FILE) -> dict[str, str]:
    """What the lines compare that are no claim's own: hot path, or `path[case]` -> the words.

    Raises `UsageError` where the file cannot be read, or the words are no text.
    """
    found = _tables(file).get(COMPARED, {})
    for name, words in found.items():
        if not isinstance(words, str) or not words.strip():
            raise UsageError(f"{file.name}: [{COMPARED}] {name} is {words!r}; expected words")
    return found


def read_beyond(file: Path = FILE) -> dict[str, Claim]:
    """What this project set itself: `path[case]` -> its goals, in the form of a claim.

    Raises `UsageError` that names the row and the field where it is not as the file's header says.
    """
    found = {}
    for name, table in _tables(file).get(BEYOND, {}).items():
        where = f"{file.name}: [{BEYOND}] {name}"
        if not isinstance(table, dict):
            raise UsageError(f"{where} is {table!r}; expected a table of fields")
        if unknown := sorted(set(table) - _OF_BEYOND):
            raise UsageError(f"{where} has an unknown field {unknown[0]}; known: {[*_OF_BEYOND]}")
        found[name] = Claim(
            "",
            trials=_trials(where, table.get("trials", 0)),
            per=_per(where, table.get("per", Per.TRIAL)),
            note=table.get("note", ""),
            goals=tuple(_goals(where, table)),
        )
        if not found[name].goals:
            raise UsageError(f"{where} has neither goal nor floor; expected wall_goal, for example")
        each = any(goal.kind in AT_MOST for goal in found[name].goals)
        if each and not table.get("trials"):
            raise UsageError(f"{where} has a goal of each trial, but says of no trials")
    return found


_BOUNDS = {
    kind: (f"{kind}_goal", f"{kind}_{'ceiling' if kind in AT_MOST else 'floor'}")
    for kind in GoalKind
}
_POSITIVE = "a number over 0"
_OF_BEYOND = {"trials", "per", "note", *(name for names in _BOUNDS.values() for name in names)}


def _goals(where: str, table: Mapping[str, Any]) -> Iterator[Goal]:
    for kind, names in _BOUNDS.items():
        goal, floor = (
            None if table.get(name) is None else _bound(f"{where} {name}", table[name], _POSITIVE)
            for name in names
        )
        if goal is not None or floor is not None:
            yield Goal(kind, goal=goal, floor=floor)


def _tables(file: Path) -> dict[str, dict[str, Any]]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file.name} is not TOML: {error}") from None


def read_claims(file: Path = FILE) -> dict[str, Claim]:
    """Claim -> what is known of it, in the order of the reports.

    Raises `UsageError` that names the table and the field where the file is not as its header says.
    """
    tables = _tables(file)
    tables.pop(COMPARED, None)
    tables.pop(BEYOND, None)
    if unknown := [name for name in tables if name not in ORDER]:
        raise UsageError(
            f"{file.name}: [{unknown[0]}] is no claim of the reports; expected one of "
            f"{', '.join(ORDER)}"
        )
    return {name: _claim(f"{file.name}: [{name}]", name, tables.get(name)) for name in ORDER}


def _claim(where: str, name: str, table: dict[str, Any] | None) -> Claim:
    if table is None:
        return Claim(name)
    known = set(Claim.__dataclass_fields__) - {"name", "goals"}
    if unknown := sorted(set(table) - known):
        raise UsageError(f"{where} has an unknown field {unknown[0]}; known: {sorted(known)}")
    for needed in ("what", "source"):
        if not str(table.get(needed, "")).strip():
            raise UsageError(f"{where} has no {needed}")
    lone = [name for name in _OF_HOT_PATH if name in table and not table.get("hot_path")]
    if lone:
        raise UsageError(f"{where} has {lone[0]}, but no hot_path to measure")
    shown_by = [name for name in ("hot_path", "tested_by", "mode") if table.get(name)]
    if len(shown_by) > 1:
        raise UsageError(f"{where} has a {' and '.join(shown_by)}; expected one of them")
    if (simulated := table.get("simulated", False)) and not table.get("tested_by"):
        raise UsageError(f"{where} has simulated, but no tested_by that shows it in a simulator")
    if not isinstance(simulated, bool):
        raise UsageError(f"{where} simulated is {simulated!r}; expected true or false")
    counted = {
        counter: _range(f"{where} counted.{counter}", value)
        for counter, value in table.get("counted", {}).items()
    }
    also = {
        name: _range(f"{where} reported_also.{name}", value)
        for name, value in table.get("reported_also", {}).items()
    }
    checked = {
        "reported": _figure(where, table, "reported"),
        "reported_also": also,
        "saved_s": _figure(where, table, "saved_s", _SECONDS),
        "saved_share": _figure(where, table, "saved_share", _SHARE),
        "quality": _figure(where, table, "quality", _QUALITY),
        "counted": counted,
        "at_most": {
            name: _bound(f"{where} at_most.{name}", value)
            for name, value in table.get("at_most", {}).items()
        },
        "also": tuple(table.get("also", ())),
        "per": _per(where, table.get("per", Per.TRIAL)),
        "trials": _trials(where, table.get("trials", 0)),
    }
    return Claim(name, **table | checked)


_OF_HOT_PATH = ("trials", "also", "reported_also", "counted", "at_most")  # say nothing without one
# What is expected of a figure, and between which numbers, both excluded, it lies.
_FACTOR = "before / after, a number over 1", 1.0, math.inf
_SECONDS = "seconds that 100 trials save, a number over 0", 0.0, math.inf
_SHARE = "a share of a run, a number between 0 and 1", 0.0, 1.0
_QUALITY = "a share of the plain quality, a number between 0 and 2", 0.0, 2.0


def _figure(
    where: str, table: dict[str, Any], name: str, kind: tuple[str, float, float] = _FACTOR
) -> Range | None:
    return None if table.get(name) is None else _range(f"{where} {name}", table[name], kind)


def _range(where: str, value: Any, kind: tuple[str, float, float] = _FACTOR) -> Range:
    """A number, or the least and the most of it."""
    expected, over, under = kind
    ends = value if isinstance(value, list) else [value, value]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not over < numbers[0] <= numbers[1] < under:
        raise UsageError(f"{where} is {value!r}; expected {expected}, or [least, most]")
    return float(numbers[0]), float(numbers[1])


def _bound(where: str, value: Any, expected: str = "how many at most, a number over 0") -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise UsageError(f"{where} is {value!r}; expected {expected}")
    return float(value)


def _per(where: str, value: str) -> Per:
    try:
        return Per(value)
    except ValueError:
        raise UsageError(
            f"{where} per is {value!r}; expected one of {', '.join(map(str, Per))}"
        ) from None


def _trials(where: str, value: Any) -> int | dict[str, int]:
    numbers = list(value.values()) if isinstance(value, dict) else [value or 1]
    if not all(type(number) is int and number > 0 for number in numbers):
        raise UsageError(
            f"{where} trials is {value!r}; expected how many trials the work stands for, "
            f"a whole number over 0, or a table of them by case"
        )
    found: int | dict[str, int] = value
    return found
