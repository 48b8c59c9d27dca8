"""Which parameters are suggested together: what every finished trial has, or groups of them."""

from __future__ import annotations

import copy
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

Distributions = dict[str, BaseDistribution]


class TogetherSpace:
    """The search space of a study's finished trials, extended by the new ones.

    Both forms are the same whenever a trial is taken in twice, or, for the common parameters, in
    another order; so taking each in once gives what Optuna gets from looking at all again.

    Args:
        group: Optuna's empty set of groups; None for the parameters that all trials have.
    """

    def __init__(self, group: Any | None) -> None:
        self._group = group
        self._last: Distributions | None = None
        self._common: Distributions | None = None
        self._answer: Distributions | None = None

    @property
    def newest_first(self) -> bool:
        """In which order trials are taken in when several are new: groups depend on it.

        Common parameters are the same either way, but of distributions that are equal and not alike
        (a choice of 1, and one of True) Optuna keeps the newest trial's.
        """
        return self._group is None

    def clear(self) -> None:
        """As before the first trial."""
        if self._group is not None:
            self._group = type(self._group)()
        self._last = self._common = self._answer = None

    def take(self, trial: FrozenTrial) -> None:
        """Take in a trial that finished; for groups, in the order of the numbers."""
        found = trial.distributions
        if found == self._last:  # soon said where trials share the objects
            return
        self._last = found
        if self._group is not None:
            self._group.add_distributions(found)
        elif self._common is None:
            self._common, self._answer = copy.deepcopy(found), None
        elif found != self._common:
            common = {name: one for name, one in self._common.items() if found.get(name) == one}
            if len(common) < len(self._common):
                self._common, self._answer = common, None

    def relative(self) -> Distributions:
        """Every parameter that is suggested together with others, by name or by group."""
        if self._group is not None:
            return {name: one for group in self.groups() for name, one in group.items()}
        if self._answer is None:
            self._answer = _free(self._common or {})
        return dict(self._answer)

    def groups(self) -> list[Distributions]:
        """The groups, each by name; none where parameters are not grouped."""
        return [] if self._group is None else [_free(one) for one in self._group.search_spaces]


def _free(space: Distributions) -> Distributions:
    """By name, without what has one value only."""
    return {name: one for name, one in sorted(space.items()) if not one.single()}
