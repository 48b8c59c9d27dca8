"""A run of the claims: its rows, what they were made with, and its JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._claims_figures import ClaimVerdict
from benchmarks._claims_goals import GoalVerdict
from benchmarks._claims_rows import Role, Row
from benchmarks._claims_trial import TrialCost
from benchmarks.gate.files import replace

FORMAT = 3  # of the file; 2 knew of no figures but factors


class ClaimsFormatError(ValueError):
    """A stored run is of another format than this code reads."""


@dataclass(frozen=True)
class ClaimsReport:
    """What `nox -s claims` found."""

    date: str  # UTC
    machine: str
    python: str
    quick: bool
    whole: bool  # every claim and hot path was asked for
    seconds: float
    trial: TrialCost
    rows: tuple[Row, ...]
    exit_code: int = 0
    # What it was made with; of runs that were stored before this was kept, nothing.
    tree: str = ""  # hash of the code under test
    suite: str = ""  # hash of what declares the hot paths
    packages: Mapping[str, str] = field(default_factory=dict)  # library -> version
    processor: str = ""

    @property
    def where(self) -> str:
        """The machine and its Python, in words."""
        return ", ".join(filter(None, (self.machine, self.processor, f"Python {self.python}")))

    def write(self, file: Path) -> None:
        """The numbers as JSON, whole or not at all."""
        contents = {"format": FORMAT, **dataclasses.asdict(self)}
        replace(file, json.dumps(contents, indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> ClaimsReport:
        """The report of a file's contents.

        Raises `ClaimsFormatError` where another version of this code wrote them.
        """
        if table.get("format") != FORMAT:
            raise ClaimsFormatError(
                f"the stored claims are of format {table.get('format', 1)}, expected {FORMAT}: "
                f"run `nox -s claims` and store them again"
            )
        known = {**dict.fromkeys(("tree", "suite", "processor"), ""), "packages": {}, **table}
        fields = {name: known[name] for name in cls.__dataclass_fields__}
        trial = TrialCost(**table["trial"])
        return cls(**fields | {"trial": trial, "rows": tuple(map(Row.from_json, table["rows"]))})

    def count(self) -> str:
        """How many rows, and goals, have which verdict; what stands below a row has none."""
        own = [row.verdict for row in self.rows if row.role in (Role.CLAIM, Role.OURS)]
        goals = [goal.verdict for row in self.rows for goal in row.goals]
        found: list[tuple[str, int]] = [(word, own.count(word)) for word in ClaimVerdict]
        found += [(word, goals.count(word)) for word in GoalVerdict]
        return ", ".join(f"{number} {word}" for word, number in found if number)
