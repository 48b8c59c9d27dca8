"""The trials of one study as this process knows them, brought up to date by rows of the file."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optimizer.stores import _optuna_rows as rows
from optimizer.stores._collection import collection_paused
from optimizer.stores._one_connection import Moment
from optimizer.stores._open_trials import OpenTrial
from optimizer.stores._spaces import Spaces

_number = itemgetter(rows.NUMBER)
_change = itemgetter(rows.CHANGE)
_WAITING_ONLY = (TrialState.WAITING,)
_ABSENT = 255  # a state no trial has
_IS_FINISHED = (*rows.FINISHED, *[False] * (_ABSENT + 1 - len(rows.FINISHED)))


class StudyMirror:
    """Finished trials as rows, until somebody asks for them; unfinished ones as `OpenTrial`.

    Not thread-safe by itself. A trial's number is its place.
    """

    def __init__(self, study_id: int, places: dict[int, tuple[StudyMirror, int]]) -> None:
        self.study_id = study_id
        self._places = places  # of the trials of all studies, by their ids
        self.moment: Moment | None = None  # when it was known to be as the file
        self.change = 0  # of the newest row it has
        self.spaces = Spaces()
        self._states = bytearray()
        self._slots: list[rows.Row | OpenTrial | None] = []  # None: built, and finished
        self._built: list[FrozenTrial | None] = []
        self._unbuilt: set[int] = set()
        self._ids: list[int] = []
        self._best: int | None = None
        self._best_value = math.nan
        self._told: list[int] = []  # completed trials that `best` has not looked at

    def __len__(self) -> int:
        return len(self._states)

    # --- what happens to it

    def take(self, found: list[rows.Row]) -> None:
        """Bring it up to date by rows of the file, in any order.

        May be repeated with the same rows. ValueError, KeyError, TypeError, IndexError or
        struct.error if a row is damaged.
        """
        if not found:
            return
        count = max(map(_number, found)) + 1
        if count > len(self) + len(found) or min(map(_number, found)) < 0:
            raise ValueError(f"the numbers of the trials of study {self.study_id} have a hole")
        self._reach(count)
        for row in found:
            number = row[rows.NUMBER]
            if self._states[number] == _ABSENT or self._ids[number] != row[rows.ID]:
                self._ids[number] = row[rows.ID]
                self._places[row[rows.ID]] = (self, number)
            self._take_row(number, row)
        if _ABSENT in self._states:
            missing = self._states.index(_ABSENT)
            raise ValueError(f"trial {missing} of study {self.study_id} is missing")
        self.change = max(self.change, *map(_change, found))

    def add(self, trial: OpenTrial) -> None:
        """The next trial, just written to the file."""
        number = trial.number
        self._reach(number + 1)
        self._ids[number] = trial.id
        self._places[trial.id] = (self, number)
        self._slots[number] = trial
        self.touch(trial)

    def touch(self, trial: OpenTrial) -> None:
        """A trial was changed in memory, and may change again."""
        if trial.state == rows.COMPLETE:
            self._told.append(trial.number)
        self._unbuilt.add(trial.number)
        self._states[trial.number] = trial.state  # last, as in `_take_row`

    def written(self, trial: OpenTrial, row: rows.Row) -> None:
        """A trial was written to the file, as this row."""
        state = row[rows.STATE]
        trial.pending.clear()
        if rows.FINISHED[state]:
            self._slots[trial.number] = row
            if state == rows.COMPLETE and self._states[trial.number] != state:
                self._told.append(trial.number)
        else:
            trial.read(row)
        self._unbuilt.add(trial.number)
        self._states[trial.number] = state

    # --- what is asked of it

    def open_trial(self, number: int) -> OpenTrial | None:
        """The trial, if it is unfinished as far as is known."""
        slot = self._slots[number]
        return slot if type(slot) is OpenTrial else None

    def state(self, number: int) -> int:
        """The state of a trial."""
        return self._states[number]

    def id_of(self, number: int) -> int:
        """The id of a trial; IndexError if there is none of that number."""
        if number < 0:
            raise IndexError(number)
        return self._ids[number]

    def ids(self) -> list[int]:
        """All ids, in the order of the numbers."""
        return self._ids

    def trial(self, number: int) -> FrozenTrial:
        """The trial; an unfinished one is built anew, for Optuna changes what it gets here."""
        slot = self._slots[number]
        if type(slot) is OpenTrial:
            return slot.frozen()
        self._build_one(number)
        built = self._built[number]
        assert built is not None  # a finished trial was built just now, or before
        return built

    def trials(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """All trials, or those in the states. Cost: builds those that changed since."""
        if states == _WAITING_ONLY:
            return self._waiting()
        if self._unbuilt:
            self._build()
        everyone: list[Any] = self._built
        if states is None:
            return everyone.copy()
        return list(compress(everyone, self._chosen(states)))

    def count(self, states: Container[TrialState] | None) -> int:
        """How many trials are in the states. Cost: builds none."""
        if states is None:
            return len(self)
        wanted = [number for number, state in enumerate(rows.STATES) if state in states]
        return sum(map(self._states.count, wanted))

    def best(self, maximize: bool) -> int | None:
        """The number of the best completed trial, the first among equals; None if there is none.

        Cost: looks at those completed since the last call.
        """
        while self._told:
            number = self._told[-1]
            if self._states[number] == rows.COMPLETE:
                value = self._value(number)
                if self._best is None or self._is_better(number, value, maximize):
                    self._best, self._best_value = number, value
            self._told.pop()
        return self._best

    # ---

    def _reach(self, count: int) -> None:
        # The states last: whoever was interrupted here does it again, by their length.
        self._slots.extend([None] * (count - len(self._slots)))
        self._built.extend([None] * (count - len(self._built)))
        self._ids.extend([0] * (count - len(self._ids)))
        self._states.extend(bytes((_ABSENT,)) * (count - len(self._states)))

    def _take_row(self, number: int, row: rows.Row) -> None:
        state = row[rows.STATE]
        slot = self._slots[number]
        if rows.FINISHED[state]:
            if type(slot) is not OpenTrial and _IS_FINISHED[self._states[number]]:
                return  # told by ourselves, or read before
            self._slots[number] = row
            if number == self._best:  # told here under "batch", and finished by somebody first
                self._best = None
                self._told = [n for n, s in enumerate(self._states) if s == rows.COMPLETE]
            if state == rows.COMPLETE:
                self._told.append(number)
        elif type(slot) is OpenTrial:
            slot.read(row)
            state = slot.state  # "batch" may have told it already
        else:
            self._slots[number] = OpenTrial.of_row(row, self.spaces)
        self._built[number] = None
        self._unbuilt.add(number)
        self._states[number] = state  # last: whoever was interrupted here does it again

    def _build(self) -> None:
        wanted = sorted(self._unbuilt)
        numbers = [n for n in wanted if type(self._slots[n]) is tuple]
        if len(numbers) > 1:
            found: list[Any] = [self._slots[n] for n in numbers]
            with collection_paused():
                built = rows.frozen_many(found, self.spaces)
            for number, trial in zip(numbers, built, strict=True):
                self._built[number] = trial
                self._slots[number] = None
        for number in wanted:
            self._build_one(number)
        self._unbuilt.clear()

    def _build_one(self, number: int) -> None:
        slot = self._slots[number]
        if type(slot) is OpenTrial:
            self._built[number] = slot.frozen()
        elif slot is not None:
            self._built[number] = rows.frozen(slot, self.spaces)  # type: ignore[arg-type]  # a row
            self._slots[number] = None
            self._unbuilt.discard(number)

    def _waiting(self) -> list[FrozenTrial]:
        found = []
        number = self._states.find(rows.WAITING)
        while number >= 0:
            if number in self._unbuilt:
                self._build_one(number)
                self._unbuilt.discard(number)
            trial = self._built[number]
            assert trial is not None  # as in `trial`
            found.append(trial)
            number = self._states.find(rows.WAITING, number + 1)
        return found

    def _chosen(self, states: Container[TrialState]) -> Iterable[int]:
        table = bytes(state in states for state in rows.STATES)
        return self._states.translate(table.ljust(256, b"\0"))

    def _is_better(self, number: int, mine: float, maximize: bool) -> bool:
        its = self._best_value
        if mine == its:
            return self._best is None or number < self._best
        if its != its:  # NaN is worse than anything
            return True
        return mine > its if maximize else mine < its

    def _value(self, number: int) -> float:
        slot = self._slots[number]
        built = self._built[number]
        if type(slot) is tuple:
            values: Sequence[float] | None = rows.unpack(slot[rows.VALUE])
        else:
            values = built.values if slot is None and built else self.trial(number).values
        return values[0] if values else math.nan
