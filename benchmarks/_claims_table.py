"""claims.toml, read and checked: what the reports claim, and what measures it."""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

Range = tuple[float, float]  # before / after, the least and the most that is reported


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
    said: str = ""
    hot_path: str = ""
    trials: int | Mapping[str, int] = 0
    per: Per = Per.TRIAL
    counted: Mapping[str, Range] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    plain: str = ""
    plain_path: str = ""
    tested_by: str = ""
    cpu_floor: Mapping[str, float] = field(default_factory=dict)
    because: str = ""
    note: str = ""

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
        return tuple(name for name in (self.hot_path, *self.also, self.plain_path) if name)


def read_claims(file: Path = FILE) -> dict[str, Claim]:
    """Claim -> what is known of it, in the order of the reports.

    Raises `UsageError` that names the table and the field where the file is not as its header says.
    """
    try:
        tables: dict[str, dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file.name} is not TOML: {error}") from None
    if unknown := [name for name in tables if name not in ORDER]:
        raise UsageError(
            f"{file.name}: [{unknown[0]}] is no claim of the reports; expected one of "
            f"{', '.join(ORDER)}"
        )
    return {name: _claim(f"{file.name}: [{name}]", name, tables.get(name)) for name in ORDER}


def _claim(where: str, name: str, table: dict[str, Any] | None) -> Claim:
    if table is None:
        return Claim(name)
    known = set(Claim.__dataclass_fields__) - {"name"}
    if unknown := sorted(set(table) - known):
        raise UsageError(f"{where} has an unknown field {unknown[0]}; known: {sorted(known)}")
    for needed in ("what", "source"):
        if not str(table.get(needed, "")).strip():
            raise UsageError(f"{where} has no {needed}")
    if not (table.get("hot_path") or set(table).isdisjoint({"trials", "also", "counted"})):
        raise UsageError(f"{where} has trials, also or counted, but no hot_path to measure")
    if table.get("hot_path") and table.get("tested_by"):
        raise UsageError(f"{where} has a hot_path and tested_by; expected one of them")
    counted = {
        counter: _range(f"{where} counted.{counter}", value)
        for counter, value in table.get("counted", {}).items()
    }
    reported = table.get("reported")
    checked = {
        "reported": None if reported is None else _range(f"{where} reported", reported),
        "counted": counted,
        "also": tuple(table.get("also", ())),
        "per": _per(where, table.get("per", Per.TRIAL)),
        "trials": _trials(where, table.get("trials", 0)),
    }
    return Claim(name, **table | checked)


def _range(where: str, value: Any) -> Range:
    """A factor, or the least and the most of it."""
    ends = value if isinstance(value, list) else [value, value]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not 1.0 < numbers[0] <= numbers[1]:
        raise UsageError(
            f"{where} is {value!r}; expected before / after, a number over 1, or [least, most]"
        )
    return float(numbers[0]), float(numbers[1])


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
