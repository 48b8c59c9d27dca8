"""Which points of a study have a value already, and whose it is."""

from __future__ import annotations

import datetime
import time
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optimizer.errors import SignatureError
from optimizer.protocols import Signature
from optimizer.signature import param_signature
from optimizer.space import SearchSpace

SERVED_OF = "optimizer:served_of"
"""User attribute of a trial that was served: the number of the trial whose value it was given."""
VALUE = "optimizer:value"
"""User attribute of a trial that was served: that value, or the list of values."""

LOOK_S = 0.2
"""How often the running trials of others are looked at; some may be of workers that died."""

Values = tuple[float, ...]


def sign(params: Mapping[str, Any], space: SearchSpace | None) -> Signature | None:
    """The signature of a parameter set; None if it is empty, or has no form that can be signed."""
    if not params:
        return None
    try:
        return param_signature(params, space)
    except SignatureError:
        return None


class KnownPoints:
    """The points of a study that have a value, by signature.

    Only complete trials count: a failed trial has no value, a pruned one has none on all data.

    Args:
        space: that points are signed by.
        since: the number of the first trial that is believed: earlier ones were evaluated by
            another objective, or on other data.
        ttl_s: how long a value of an earlier run counts, in seconds; None for ever.
    """

    def __init__(
        self, space: SearchSpace | None, since: int = 0, ttl_s: float | None = None
    ) -> None:
        self.space = space
        # Plain numbers, one row after the other, for there is one for every trial: the trial's own,
        # then its values. A point has the place where its row begins.
        self._points: dict[Signature, int] = {}
        self._rows = array("d")
        self._width = self._end = 0  # of a row; of them all
        self._since = since
        self._oldest = None
        if ttl_s is not None:
            self._oldest = datetime.datetime.now() - datetime.timedelta(seconds=ttl_s)
        self._looked = 0  # at all trials below
        self._open: set[int] = set()  # of those, the ones that were not finished
        self._gap = False
        self._look_at_s = 0.0

    def __len__(self) -> int:
        return len(self._points)

    def signatures(self) -> list[Signature]:
        """Of all points that have a value."""
        return list(self._points)

    def get(self, signature: Signature) -> tuple[int, Values] | None:
        """Number and values of the trial that was the first to have a value there."""
        place = self._points.get(signature)
        if place is None:
            return None
        number, *values = self._rows[place : place + self._width]
        return int(number), tuple(values)

    def add(self, signature: Signature | None, number: int, values: Iterable[float]) -> None:
        """A trial got its value, or as many as all others; the first one at a point stays."""
        if signature is not None and signature not in self._points:
            row = (number, *values)
            self._width = self._width or len(row)
            self._points[signature] = self._end
            self._rows.extend(row)
            self._end += self._width

    def started(self, number: int) -> None:
        """A trial of this run's own was started: there is no need to look at it."""
        self._open.discard(number)
        if number == self._looked:
            self._looked += 1
        elif number > self._looked:
            self._gap = True

    @property
    def is_behind(self) -> bool:
        """Whether others added trials; or it is time to look whether they finished some."""
        return self._gap or (bool(self._open) and time.monotonic() >= self._look_at_s)

    def catch_up(self, study: optuna.Study, own: Iterable[int] = ()) -> None:
        """Look at the trials that were not finished, or not there, the last time.

        Cost: signs each complete one once.
        """
        trials = study.get_trials(deepcopy=False)
        numbers = sorted(self._open) + list(range(self._looked, len(trials)))
        self._open.clear()
        self._looked = len(trials)
        self._gap = False
        self._look_at_s = time.monotonic() + LOOK_S
        mine = set(own)
        for number in numbers:
            trial = trials[number]
            if trial.state == TrialState.COMPLETE:
                if self._believes(trial):
                    self.add(sign(trial.params, self.space), number, trial.values)
            elif not trial.state.is_finished() and number not in mine:
                self._open.add(number)

    def _believes(self, trial: FrozenTrial) -> bool:
        if trial.number < self._since:
            return False
        ended = trial.datetime_complete
        return self._oldest is None or ended is None or ended >= self._oldest
