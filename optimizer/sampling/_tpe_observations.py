"""What the TPE sampler keeps of one study: every finished trial is looked at once.

Rows are trial numbers. A parameter has a column of numbers, a search space the rows that have all
its parameters, and the finished trials one order, from the best. Each is extended by the trials
that are new; nothing is rebuilt and no trial is sorted again.
"""

from __future__ import annotations

import math
import threading
from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optimizer.sampling._tpe_space import TogetherSpace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_FIRST_ROWS = 256
_MANY = 8  # values or trials: from here on arrays, and sorting all, cost less than one by one

Key = tuple[int, float, float, int]
"""What finished trials are ordered by: kind, two numbers, trial number; the best is the least."""


class Column:
    """The values of one parameter by row, NaN where there is none.

    `raw` is what the distribution stores, `mus` the same on the scale of the densities.
    `steady` turns False where trials disagree about the kind of the parameter.
    """

    def __init__(self, distribution: BaseDistribution, size: int) -> None:
        self.distribution = distribution
        self.kind = type(distribution)
        self.choices = getattr(distribution, "choices", None)
        self.last = distribution  # that was found to agree, or not to
        self.log = bool(getattr(distribution, "log", False))
        self.steady = True
        self.raw = np.full(size, np.nan)
        self.mus = np.full(size, np.nan) if self.log else self.raw
        self.sigmas = np.full(size, np.nan)  # for which `terms` holds
        self.terms = np.empty(size)
        self.bounds: tuple[float, float] | None = None  # for which both hold
        self.order: Ints | None = None  # rows by value, made when first asked for
        self.count = 0
        self._late: list[int] = []

    def grow(self, size: int) -> None:
        self.raw = _grown(self.raw, size)
        self.mus = _grown(self.mus, size) if self.log else self.raw
        self.sigmas = _grown(self.sigmas, size)
        self.terms = _grown(self.terms, size)
        if self.order is not None:
            self.order = np.concatenate([self.order, np.empty(size - len(self.order), np.int64)])

    def agrees(self, distribution: BaseDistribution) -> bool:
        """Whether the values mean under this distribution what they mean here."""
        return (
            self.steady
            and type(distribution) is self.kind
            and (
                getattr(distribution, "choices", None) == self.choices
                or (self.choices is not None and distribution == self.distribution)  # NaN
            )
            and bool(getattr(distribution, "log", False)) == self.log
        )

    def put(self, row: int, value: float) -> None:
        """Set or replace the value of a row."""
        if self.raw[row] == value:
            return
        if self.order is not None and not math.isnan(self.raw[row]):
            self.order = None
        self.raw[row] = value
        self.sigmas[row] = np.nan
        if self.log:
            # As Optuna, which lets numpy take the logarithm of an array of observations.
            with np.errstate(all="ignore"):
                self.mus[row] = np.log(self.raw[row : row + 1])[0]
            self.steady = self.steady and math.isfinite(self.mus[row])
        if self.order is not None:
            self._late.append(row)

    def put_all(self, rows: Sequence[int], values: Sequence[float]) -> None:
        """`put` of each pair; cost: a few array operations where there are many."""
        if len(rows) < _MANY:
            for row, value in zip(rows, values, strict=True):
                self.put(row, float(value))
            return
        places, stored = np.array(rows, np.int64), np.array(values, np.float64)
        old = self.raw[places]
        fresh = np.isnan(old)
        self.raw[places] = stored
        self.sigmas[places[old != stored]] = np.nan
        if self.log:
            with np.errstate(all="ignore"):
                self.mus[places] = np.log(stored)
            self.steady = self.steady and bool(np.isfinite(self.mus[places]).all())
        if self.order is not None and (fresh | (old == stored)).all():
            self._late += places[fresh].tolist()
        else:
            self.order = None

    def drop(self, row: int) -> None:
        """Forget the value of a row."""
        if not math.isnan(self.raw[row]):
            self.raw[row] = self.mus[row] = np.nan
            self.order = None

    def sorted_rows(self, keep_sorted: Any) -> tuple[Ints, int]:
        """Rows by value; cost: a place is found for each new row, the first time all are sorted."""
        if self.order is None or len(self._late) > 64:
            rows = np.flatnonzero(~np.isnan(self.raw))
            self.order = np.empty(len(self.raw), np.int64)
            self.count = len(rows)
            self.order[: self.count] = rows[np.argsort(self.mus[rows], kind="stable")]
        elif self._late:
            late = np.array(self._late, np.int64)
            self.count = keep_sorted(self.order, self.count, self.mus, late)
        self._late.clear()
        return self.order, self.count


class Members:
    """The rows that have every parameter of one search space."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        self._upto = 0
        self._mask = np.zeros(0, np.bool_)

    def mask(self, size: int, arrivals: Sequence[int]) -> NDArray[np.bool_]:
        """Of finished rows; cost: one look at each row that arrived since."""
        if len(self._mask) < size:
            self._mask = np.concatenate([self._mask, np.zeros(size - len(self._mask), np.bool_)])
        late = arrivals[self._upto :]
        self._upto = len(arrivals)
        if len(late) < _MANY:
            for row in late:
                self._mask[row] = not any(math.isnan(column.raw[row]) for column in self.columns)
        else:
            rows = np.array(late, np.int64)
            self._mask[rows] = ~np.any([np.isnan(column.raw[rows]) for column in self.columns], 0)
        return self._mask


class Split(NamedTuple):
    """The rows of both mixtures, each ascending."""

    below: Ints
    above: Ints


class Observations:
    """What is kept of one study with one objective.

    Not thread-safe: whoever calls is in `with observations:`, which locks them, and which forgets
    all when it is left by an exception (Ctrl-C too): nothing stays half taken in.
    """

    def __init__(self, direction: StudyDirection, together: TogetherSpace | None) -> None:
        self.together = together
        self._lock = threading.RLock()
        self._up = direction == StudyDirection.MAXIMIZE
        self._start()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                self._start()
        finally:
            self._lock.release()

    def _start(self) -> None:
        """Nothing is known; every trial will be taken in again.

        The search space may stay: it is the same when it meets a trial again.
        """
        self.ordered = True  # False where a value is NaN: how those are sorted is Optuna's secret
        self.columns: dict[str, Column] = {}
        self.order: list[Key] = []  # finished trials, the best first
        self.arrivals: list[int] = []  # their rows, as they came
        self.size = _FIRST_ROWS
        self.rank = np.empty(self.size, np.int64)
        self._untaken: list[FrozenTrial] = []  # finished, and not in the search space yet
        self._known = 0  # trials looked at
        self._first: FrozenTrial | None = None  # that was taken in
        self._open: list[int] = []  # of these, the unfinished
        self._shown: dict[int, dict[str, Any]] = {}  # what columns hold of unfinished rows
        self._members: dict[tuple[str, ...], Members] = {}

    def catch_up(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in what finished since; `trials` are all of the study, by number.

        Cost: one look at each trial that is new or was not finished the last time.
        """
        if self._first is not None and self._is_another_study(trials, self._first):
            self._start()
            if self.together is not None:
                self.together.clear()
        if len(trials) > self.size:
            self._grow(max(2 * self.size, len(trials)))
        new: list[FrozenTrial] = []
        waiting: list[int] = []
        for row in (*self._open, *range(self._known, len(trials))):
            trial = trials[row] if row < len(trials) else None
            if trial is not None and trial.state.is_finished():
                new.append(trial)
            else:
                waiting.append(row)
        self._known = max(self._known, len(trials))
        self._open = waiting
        if new:
            self._take(new)

    def suggested_together(self) -> dict[str, BaseDistribution]:
        """The search space of what was taken in so far.

        Optuna takes trials in when it asks for the space, by number, and the order of groups
        depends on it; so they wait for this call.
        """
        if self.together is None:
            return {}
        new = sorted(self._untaken, key=lambda trial: trial.number)
        for trial in reversed(new) if self.together.newest_first else new:
            self.together.take(trial)
        self._untaken.clear()
        return self.together.relative()

    def running(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The running trials; cost: one look at each unfinished trial."""
        found = (trials[row] for row in self._open if row < len(trials))
        return [trial for trial in found if trial.state == TrialState.RUNNING]

    def show_running(self, params: Mapping[int, Mapping[str, Any]]) -> None:
        """Put the parameters of running trials, by row, into the columns.

        They stay there until the trial finishes: a row counts only where `split` is told of it.
        """
        for row, values in params.items():
            old = self._shown.get(row, {})
            if old == values:
                continue
            for name in old.keys() - values.keys():
                self.columns[name].drop(row)
            shown = {name: value for name, value in values.items() if name in self.columns}
            for name, value in shown.items():
                column = self.columns[name]
                column.put(row, self._stored(column, value))
            self._shown[row] = shown

    def columns_of(self, space: Mapping[str, BaseDistribution]) -> list[Column]:
        """The column of each parameter, an empty one where no trial had it."""
        for name, distribution in space.items():
            if name not in self.columns:
                self.columns[name] = Column(distribution, self.size)
        return [self.columns[name] for name in space]

    def split(self, names: tuple[str, ...], n_below: int, running: Sequence[int]) -> Split:
        """Best and other rows that have all these parameters; running ones are others."""
        members = self._members.get(names)
        if members is None:
            columns = [self.columns[name] for name in names]
            members = self._members[names] = Members(columns)
        mask = members.mask(self.size, self.arrivals)
        best = np.fromiter((key[3] for key in self.order[:n_below]), np.int64)
        best.sort()
        below = best[mask[best]]
        mask[below] = False
        extra = [row for row in running if not any(np.isnan(c.raw[row]) for c in members.columns)]
        mask[extra] = True
        above = np.flatnonzero(mask)
        mask[extra] = False
        mask[below] = True
        return Split(below, above)

    # --- finished trials

    def _is_another_study(self, trials: Sequence[FrozenTrial], first: FrozenTrial) -> bool:
        """Storages give the id of a deleted study away again; trials tell by when they began."""
        row = first.number
        return row < len(trials) and trials[row].datetime_start != first.datetime_start

    def _take(self, new: Sequence[FrozenTrial]) -> None:
        keys: list[Key] = []
        found: dict[str, tuple[list[int], list[float]]] = {}
        for trial in new:
            self._first = self._first or trial
            if trial.state not in FINISHED:
                self._forget_shown(trial.number)
                continue
            self._forget_shown(trial.number, trial.params)
            self._read(trial, found)
            self.arrivals.append(trial.number)
            key = self._key(trial)
            keys.append(key)
            self.ordered = self.ordered and not math.isnan(key[1])
            if self.together is not None:
                self._untaken.append(trial)
        for name, (rows, values) in found.items():
            self.columns[name].put_all(rows, values)
        if len(keys) < _MANY:
            for key in keys:
                insort(self.order, key)
        else:
            self.order += keys
            self.order.sort()

    def _read(self, trial: FrozenTrial, found: dict[str, tuple[list[int], list[float]]]) -> None:
        """Add the parameters of a trial to the rows and values found for each name."""
        distributions = trial.distributions
        for name, value in trial.params.items():
            distribution = distributions[name]
            if name not in self.columns:
                self.columns[name] = Column(distribution, self.size)
            column = self.columns[name]
            if distribution is not column.last:
                column.steady = column.agrees(distribution)
                column.last = distribution
            rows, values = found.setdefault(name, ([], []))
            rows.append(trial.number)
            values.append(value if column.choices is None else self._stored(column, value))

    def _forget_shown(self, row: int, but: Mapping[str, Any] | None = None) -> None:
        for name in self._shown.pop(row, ()):
            if but is None or name not in but:
                self.columns[name].drop(row)

    def _stored(self, column: Column, value: Any) -> float:
        if column.choices is None:
            return float(value)
        try:
            return float(column.distribution.to_internal_repr(value))
        except ValueError:
            column.steady = False
            return -1.0

    def _key(self, trial: FrozenTrial) -> Key:
        violation = sum(v for v in trial.constraints.values() if v > 0)
        if violation > 0:
            return (2, violation, 0.0, trial.number)
        if trial.state == TrialState.COMPLETE:
            assert trial.value is not None
            # Negated, not multiplied: whole numbers may be greater than floats can tell apart.
            return (0, -trial.value if self._up else trial.value, 0.0, trial.number)
        if not trial.intermediate_values:
            return (1, 1, 0.0, trial.number)
        step, value = max(trial.intermediate_values.items())
        if math.isnan(value):
            return (1, -step, math.inf, trial.number)
        return (1, -step, -value if self._up else value, trial.number)

    def _grow(self, size: int) -> None:
        self.rank = np.empty(size, np.int64)
        self.size = size
        for column in self.columns.values():
            column.grow(size)


def _grown(values: Floats, size: int) -> Floats:
    return np.concatenate([values, np.full(size - len(values), np.nan)])
