"""What a run of the gate in a clone said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a run of the gate said."""

    code: int
    table: dict[str, Any]  # its report; empty if it did not come to one
    errors: str
    seconds: float

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.table.get("findings", [])
        return found

    @property
    def without(self) -> list[str]:
        """The witnesses that could not be had."""
        return [line.partition(":")[0] for line in self.table.get("exempt", [])]

    def of(self, path: str) -> Answer:
        """What it said of one hot path, as if there were no other; all, where it broke."""
        if self.code not in (0, 1):
            return self
        own = [finding for finding in self.findings if finding["path"] == path]
        worse = any(finding["verdict"] == "worse" for finding in own)
        return Answer(int(worse), {**self.table, "findings": own}, self.errors, self.seconds)

    def worse(self) -> list[dict[str, Any]]:
        return [finding for finding in self.findings if finding["verdict"] == "worse"]

    def said(self) -> str:
        sentences = [finding["sentence"] for finding in self.findings if finding["sentence"]]
        return " | ".join([*sentences, self.errors]).strip(" |")
