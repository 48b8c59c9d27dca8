"""The names and distributions of a trial's parameters, in the order they were suggested.

Most trials of a study share one such space, so it is kept once, and a trial holds numbers only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)

External = Callable[[float], Any]
Key = tuple[Any, ...]


class Space:
    """A node of the tree of all spaces of a study: its parent's parameters and one more."""

    __slots__ = ("_children", "_externals", "_named", "names", "parent", "row", "text", "types")

    def __init__(self, parent: Space | None, name: str, given: BaseDistribution | None) -> None:
        self._children: dict[Key, Space] = {}
        self._externals: list[External | None] | None = None
        self._named: dict[str, BaseDistribution] | None = None
        self.parent = parent
        self.row: int | None = None  # its id in the file, once it is there
        self.names: tuple[str, ...] = ()
        self.types: tuple[BaseDistribution, ...] = ()
        self.text = ""
        if parent is not None and given is not None:
            text = distribution_to_json(given)
            self.names = (*parent.names, name)
            # As another process will read it: JSON makes lists of the tuples among the choices.
            self.types = (*parent.types, json_to_distribution(text))
            self.text = json.dumps([name, text])

    def child(self, key: Key) -> Space | None:
        """The space with the parameter of that `key_of` added, if it was seen before."""
        return self._children.get(key)

    def grow(self, key: Key, name: str, given: BaseDistribution) -> Space:
        """The space with this parameter added, made if it is new. TypeError if JSON cannot."""
        node = self._children.get(key)
        if node is None:
            node = self._children[key] = Space(self, name, given)
        return node

    def body(self) -> str:
        """The text that `parameters_of` reads."""
        texts = []
        node: Space | None = self
        while node is not None and node.parent is not None:
            texts.append(node.text)
            node = node.parent
        return "[" + ", ".join(reversed(texts)) + "]"

    def params(self, values: Sequence[float]) -> dict[str, Any]:
        """Name -> value as users see it, of values as Optuna stores them."""
        return {
            name: value if external is None else external(value)
            for name, value, external in zip(self.names, values, self.externals(), strict=True)
        }

    def params_of_many(self, rows: Sequence[tuple[float, ...]]) -> list[dict[str, Any]]:
        """`params` of each row. Cost: less than one by one, for it goes by columns."""
        if not self.names or not rows:
            return [{} for _ in rows]
        columns: list[Iterable[Any]] = [
            column if external is None else map(external, column)
            for column, external in zip(zip(*rows, strict=True), self.externals(), strict=True)
        ]
        names = self.names
        return [dict(zip(names, row)) for row in zip(*columns)]  # noqa: B905 - all of one length

    def distributions(self) -> dict[str, BaseDistribution]:
        """Name -> distribution, one dictionary for all finished trials: not to be changed."""
        if self._named is None:
            self._named = dict(zip(self.names, self.types, strict=True))
        return self._named

    def externals(self) -> list[External | None]:
        """What makes a parameter's value for users of the stored one; None if it is the same."""
        if self._externals is None:
            self._externals = [
                None if type(each) is FloatDistribution else each.to_external_repr
                for each in self.types
            ]
        return self._externals


class Spaces:
    """The spaces of a study, and the first distribution each of its parameters had."""

    def __init__(self) -> None:
        self.root = Space(None, "", None)
        self._first: dict[str, BaseDistribution] = {}
        self._by_row: dict[int, Space] = {}

    def with_param(self, space: Space, name: str, given: BaseDistribution) -> Space:
        """The space with this parameter added; ValueError if the study knows it otherwise."""
        key = key_of(name, given)
        node = space.child(key)
        if node is None:
            first = self._first.get(name)
            if first is not None:
                check_distribution_compatibility(first, given)
            node = space.grow(key, name, given)
            self._first.setdefault(name, node.types[-1])
        return node

    def of(self, distributions: Iterable[tuple[str, BaseDistribution]]) -> Space:
        """The space of these parameters; ValueError as `with_param`."""
        space = self.root
        for name, given in distributions:
            space = self.with_param(space, name, given)
        return space

    def at(self, row: int | None) -> Space:
        """The space of that id; KeyError if it was not read yet."""
        return self.root if row is None else self._by_row[row]

    def knows(self, row: int | None) -> bool:
        """Whether `at` has an answer."""
        return row is None or row in self._by_row

    def keep(self, row: int, space: Space) -> None:
        """Note that the file has this space under that id."""
        self._by_row[row] = space
        if space.row is None:
            space.row = row

    def read(self, row: int, body: str) -> None:
        """Note what the file has under that id; ValueError, TypeError or KeyError if damaged."""
        space = self.root
        for name, text in json.loads(body):
            given = json_to_distribution(text)
            space = space.grow(key_of(name, given), name, given)
            self._first.setdefault(name, given)
        self.keep(row, space)


def key_of(name: str, given: BaseDistribution) -> Key:
    """Equal for parameters that nobody could tell apart; Optuna's == takes True for 1."""
    if isinstance(given, CategoricalDistribution):
        return name, type(given), repr(given.choices)
    return name, type(given), *given.__dict__.values()
