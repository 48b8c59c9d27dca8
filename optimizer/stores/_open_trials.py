"""An unfinished trial as memory keeps it, with the changes that are not in the file yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from optimizer.stores import _optuna_rows as rows
from optimizer.stores._spaces import Space, Spaces

Ending = tuple[Sequence[float], "str | None", "str | None"]
"""Values of the objective, when it started, when it finished."""


class OpenTrial:
    """A trial that runs or waits. Each change is noted until it was written."""

    __slots__ = (
        "finished",
        "id",
        "number",
        "objective",
        "pending",
        "space",
        "spaces",
        "started",
        "state",
        "steps",
        "system",
        "user",
        "values",
    )

    def __init__(self, trial_id: int, number: int, spaces: Spaces) -> None:
        self.id = trial_id
        self.number = number
        self.spaces = spaces
        self.state = rows.RUNNING
        self.space: Space = spaces.root
        self.values: list[float] = []  # of the parameters, in the order of the space
        self.objective: Sequence[float] = ()
        self.user: dict[str, str] = {}  # name -> JSON
        self.system: dict[str, str] = {}
        self.steps: dict[int, float] = {}
        self.started: str | None = None
        self.finished: str | None = None
        self.pending: list[tuple[Any, ...]] = []  # what `_apply` was called with, not yet written

    @classmethod
    def of_row(cls, row: rows.Row, spaces: Spaces) -> OpenTrial:
        """The trial of a row; ValueError, KeyError, TypeError or struct.error if damaged."""
        trial = cls(row[rows.ID], row[rows.NUMBER], spaces)
        trial.read(row)
        return trial

    def read(self, row: rows.Row) -> None:
        """Take over what somebody else wrote, then do again what is not written yet."""
        self.state = row[rows.STATE]
        self.space = self.spaces.at(row[rows.SPACE])
        self.values = rows.unpack(row[rows.PARAMS])
        if len(self.values) != len(self.space.names):
            raise ValueError("parameters and their space do not belong together")
        self.objective = rows.unpack(row[rows.VALUE])
        self.user = _texts(row[rows.USER])
        self.system = _texts(row[rows.SYSTEM])
        self.steps = rows.unpack_steps(row[rows.STEPS])
        self.started = row[rows.STARTED]
        self.finished = row[rows.END]
        for change in self.pending:
            # Somebody else may have been first to say what kind of parameter it is.
            with suppress(ValueError):
                self._apply(*change)

    def change(self, what: str, key: Any, value: Any) -> None:
        """Change it, and note the change: an attribute, a step, or its end."""
        self._apply(what, key, value)
        self.pending.append((what, key, value))

    def set_param(self, name: str, value: float, given: BaseDistribution) -> None:
        """Set a parameter; ValueError if the study knows it with another kind of distribution."""
        self._set_param(name, value, given)
        self.pending.append(("param", name, (value, given)))

    def param(self, name: str) -> float:
        """The value of a parameter as Optuna stores it; KeyError if it has none."""
        try:
            return self.values[self.space.names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def columns(self, space: int | None, ending: Ending | None = None) -> tuple[Any, ...]:
        """What `UPDATE` and `INSERT` bind, from the space on, whose id in the file is given."""
        objective, started, finished = ending or (self.objective, self.started, self.finished)
        return (
            space,
            rows.pack(self.values),
            rows.pack(objective),
            rows.attributes_text(self.user) if self.user else None,
            rows.attributes_text(self.system) if self.system else None,
            rows.pack_steps(self.steps) if self.steps else None,
            started,
            finished,
        )

    def ending(self, state: int, values: Sequence[float] | None, now: str) -> Ending:
        """What it has once it is in the state since now; None for no new values."""
        objective = self.objective if values is None else [float(value) for value in values]
        started = now if state == rows.RUNNING else self.started
        return objective, started, now if rows.FINISHED[state] else self.finished

    def imitate(self, template: FrozenTrial) -> None:
        """Take over all but number and id of a trial, which is left alone.

        ValueError if the study knows a parameter with another kind of distribution; TypeError if
        JSON cannot hold an attribute.
        """
        self.state = int(template.state)
        self.objective = [float(value) for value in template.values or ()]
        self.started = rows.text_of(template.datetime_start)
        self.finished = rows.text_of(template.datetime_complete)
        for name, value in template.params.items():
            distribution = template.distributions[name]
            self._set_param(name, float(distribution.to_internal_repr(value)), distribution)
        for kept, given in (
            (self.user, template.user_attrs),
            (self.system, template.system_attrs),
        ):
            kept.update({key: rows.attribute(key, value) for key, value in given.items()})
        for step, value in template.intermediate_values.items():
            self.steps[rows.require_step(step)] = float(value)

    def end(self, state: int, ending: Ending) -> None:
        """Take on another state, values and times."""
        self.objective, self.started, self.finished = ending
        self.state = state  # last: an interrupt leaves no end without its values

    def frozen(self) -> FrozenTrial:
        """It as Optuna sees it; nothing in it is shared. Cost: builds it anew."""
        return FrozenTrial(
            self.number,
            rows.STATES[self.state],
            None,
            rows.time_of(self.started),
            rows.time_of(self.finished),
            self.space.params(self.values),
            self.space.distributions().copy(),  # Optuna adds to it
            {key: json.loads(text) for key, text in self.user.items()} if self.user else {},
            {key: json.loads(text) for key, text in self.system.items()} if self.system else {},
            dict(self.steps),
            self.id,
            values=self.objective or None,
        )

    def _apply(self, what: str, key: Any, value: Any) -> None:
        if what == "param":
            self._set_param(key, *value)
        elif what == "user":
            self.user[key] = value
        elif what == "system":
            self.system[key] = value
        elif what == "end":
            self.end(key, value)
        else:
            self.steps[key] = value

    def _set_param(self, name: str, value: float, given: BaseDistribution) -> None:
        space = self.space
        if name not in space.names:
            # In one step: an interrupt between the two would leave what cannot be read again.
            self.space, self.values = (
                self.spaces.with_param(space, name, given),
                [*self.values, value],
            )
            return
        place = space.names.index(name)
        # The same order with another distribution is another space.
        pairs = list(zip(space.names, space.types, strict=True))
        pairs[place] = (name, given)
        self.space = self.spaces.of(pairs)
        self.values[place] = value


def _texts(attributes: str | None) -> dict[str, str]:
    if not attributes:
        return {}
    return {key: json.dumps(value) for key, value in json.loads(attributes).items()}
