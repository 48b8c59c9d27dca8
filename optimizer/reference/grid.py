"""The plain twins of `optimizer.space.Grid`: a grid expanded as the reports describe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def expand_by_copying(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination, RECONSTRUCTED FROM THE REPORTS: a dict copy at each level.

    The last name changes fastest. Cost: a dict for each combination and for each beginning of one,
    all combinations kept at once.

    Args:
        values: name -> its values in order.
    """
    names = list(values)
    combinations: list[dict[str, Any]] = []

    def expand(level: int, beginning: dict[str, Any]) -> None:
        if level == len(names):
            combinations.append(beginning)
            return
        for value in values[names[level]]:
            longer = beginning.copy()
            longer[names[level]] = value
            expand(level + 1, longer)

    expand(0, {})
    return combinations


def expand_by_backtracking(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The same, as the reports made it fast: one dict for all levels, a copy of it at the leaf.

    Cost: a dict for each combination, all kept at once.
    """
    names = list(values)
    combinations: list[dict[str, Any]] = []
    current: dict[str, Any] = {}

    def expand(level: int) -> None:
        if level == len(names):
            combinations.append(current.copy())
            return
        for value in values[names[level]]:
            current[names[level]] = value
            expand(level + 1)

    expand(0)
    return combinations
