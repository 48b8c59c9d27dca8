"""TrialRecords: what is stored comes back as it was, and a finished trial never changes."""

from __future__ import annotations

import itertools
import math
import os
import pickle
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from optimizer.errors import (
    EvaluationError,
    StoreArgumentError,
    StoreClosedError,
    StoreCorruptError,
)
from optimizer.protocols import Trial, TrialState
from optimizer.stores._connection import Database
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.records import TrialRecords
from optimizer.stores.records_rows import trials_of

STATES = st.sampled_from(("running", "complete", "pruned", "failed", "waiting"))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=4)
)
NAMES = st.text(max_size=3)
TRIALS = st.builds(
    Trial,
    number=st.integers(0, 2**63 - 1),
    state=STATES,
    params=st.dictionaries(NAMES, SCALARS, max_size=4),
    values=st.lists(st.floats(), max_size=3).map(tuple),
    attributes=st.dictionaries(
        NAMES,
        SCALARS | st.lists(SCALARS | st.dictionaries(NAMES, SCALARS, max_size=2), max_size=2),
        max_size=2,
    ),
    signature=st.one_of(st.none(), st.binary(min_size=16, max_size=16)),
    started_s=st.one_of(st.none(), st.floats(0, 1e10)),
)


def trial(number: int, state: TrialState = "complete", value: float = 0.5) -> Trial:
    values = (value,) if state == "complete" else ()
    return Trial(number, state, {"x": number}, values, {"user_attrs": {"n": number}})


@pytest.fixture(name="store", scope="module")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("records") / "study.db")
    yield database
    database.close()


FRESH = itertools.count()


@settings(max_examples=settings().max_examples // 2)
@given(trials=st.lists(TRIALS, max_size=4, unique_by=lambda trial: trial.number))
def test_every_trial_comes_back_as_it_was(store: Database, trials: list[Trial]) -> None:
    with TrialRecords(store, study=f"study {next(FRESH)}") as records:
        assert records.add_batch(trials) == len(trials)
        wanted = sorted(trials, key=lambda trial: trial.number)
        assert repr(list(records.iterate())) == repr(wanted)  # NaN is not itself
        assert repr(list(records.load().values())) == repr(wanted)
        numbers = [trial.number for trial in trials]
        assert repr(sorted(records.get_batch(numbers).items())) == repr(
            [(trial.number, trial) for trial in wanted]
        )


def test_the_file_of_all_of_them_is_whole(store: Database) -> None:
    store.check()


def test_many_pages_are_in_the_order_of_the_numbers(path: Path) -> None:
    numbers = list(range(0, 3_000, 2))
    with TrialRecords(path) as records:
        records.add_batch(map(trial, reversed(numbers)))
        assert list(records.load()) == numbers
        assert [one.number for one in records.iterate()] == numbers
        assert records.numbers() == set(numbers)
        assert len(records) == len(numbers)
        assert list(records.get_batch(range(1_200))) == list(range(0, 1_200, 2))


def test_a_finished_trial_never_changes(path: Path) -> None:
    with TrialRecords(path) as records:
        assert records.add(trial(0, "running"))
        assert not records.add(trial(0, "running"))  # nothing new
        assert records.add(trial(0, "waiting"))
        assert records.add(trial(0))
        assert not records.add(trial(0, value=9.0))
        assert not records.add(trial(0, "running"))
        assert records.load() == {0: trial(0)}
        assert records.add_batch([trial(0, value=9.0), trial(1, "running"), trial(1)]) == 2
        assert records.load() == {0: trial(0), 1: trial(1)}


def test_a_batch_is_all_or_nothing(path: Path) -> None:
    with TrialRecords(path) as records:
        bad = replace(trial(1), attributes={"x": {1, 2}})
        with pytest.raises(EvaluationError, match="attributes"):
            records.add_batch([trial(0), bad])
        assert len(records) == 0
        assert records.add_batch([]) == 0


@pytest.mark.parametrize(
    "bad",
    [
        replace(trial(0), number=-1),
        replace(trial(0), number=2**63),
        replace(trial(0), params={"x": object()}),
        replace(trial(0), params={1: 2}),  # type: ignore[dict-item]  # on purpose
        replace(trial(0), values=("x",)),  # type: ignore[arg-type]  # on purpose
        replace(trial(0), state="done"),  # type: ignore[arg-type]  # on purpose
        {"number": 0},
    ],
)
def test_what_is_no_trial_is_refused(path: Path, bad: Any) -> None:
    with TrialRecords(path) as records:
        with pytest.raises(EvaluationError, match="expected"):
            records.add(bad)
        assert len(records) == 0


def test_studies_share_a_file_with_a_guard(path: Path) -> None:
    with (
        TrialRecords(path) as one,
        TrialRecords(path, study="two") as two,
        NoDupeGuard(path) as guard,
    ):
        one.add(trial(0))
        guard.add(bytes(16))
        assert (len(one), len(two)) == (1, 0)
        two.check()


def test_life(path: Path) -> None:
    records = TrialRecords(path, study="s", durability="power")
    records.add(trial(0))
    copy = pickle.loads(pickle.dumps(records))
    assert copy.load() == records.load()
    assert repr(copy) == repr(records)
    copy.close()
    records.close()
    with pytest.raises(StoreClosedError):
        records.load()
    with pytest.raises(StoreArgumentError):
        TrialRecords(path, study="")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("params", "[1]"),
        ("params", '{"x": 1}, {"x": 2}'),
        ("params", '{"x"'),
        ("attributes", "{"),
        ("value", b"\0" * 7),
        ("value", "1.5"),
        ("state", 7),
    ],
)
def test_a_damaged_row_is_told(path: Path, column: str, value: object) -> None:
    with TrialRecords(path) as records:
        records.add_batch(map(trial, range(3)))
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"UPDATE trials SET {column} = ? WHERE number = 1", (value,))  # noqa: S608 - ours
        raw.commit()
    with TrialRecords(path) as records:
        with pytest.raises(StoreCorruptError, match="between 0 and 2 cannot be read"):
            records.load()
        with pytest.raises(StoreCorruptError):
            records.check()


def test_no_rows_are_no_trials() -> None:
    assert trials_of([]) == []


def test_a_trial_made_by_columns_is_like_any_other(path: Path) -> None:
    with TrialRecords(path) as records:
        records.add(trial(0))
        (comp,) = records.load().values()
    assert comp == trial(0)
    assert pickle.loads(pickle.dumps(comp)) == comp
    with pytest.raises(AttributeError):
        comp.number = 1  # type: ignore[misc]  # frozen


class AgainstADict(RuleBasedStateMachine):
    """Random actions, beside a dict that knows only the rule about finished trials."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=os.environ["RECORDS_FOLDER"]))
        self.records = TrialRecords(self.folder / "study.db")
        self.model: dict[int, Trial] = {}

    def _add(self, one: Trial) -> bool:
        there = self.model.get(one.number)
        if there is not None and there.state not in ("running", "waiting"):
            return False
        self.model[one.number] = one
        return there != one

    @rule(number=st.integers(0, 5), state=STATES, value=st.floats(-1, 1))
    def add(self, number: int, state: TrialState, value: float) -> None:
        one = trial(number, state, value)
        assert self.records.add(one) == self._add(one)

    @rule(many=st.lists(st.tuples(st.integers(0, 5), STATES), max_size=6))
    def add_batch(self, many: list[tuple[int, TrialState]]) -> None:
        trials = [trial(number, state) for number, state in many]
        assert self.records.add_batch(trials) == sum(map(self._add, trials))

    @rule()
    def open_anew(self) -> None:
        self.records.close()
        self.records = TrialRecords(self.folder / "study.db")

    @invariant()
    def holds_the_same(self) -> None:
        if hasattr(self, "records"):
            assert self.records.load() == dict(sorted(self.model.items()))
            assert len(self.records) == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "records"):
            self.records.check()
            self.records.close()


def test_against_a_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDS_FOLDER", str(tmp_path))
    run_state_machine_as_test(
        AgainstADict, settings=settings(max_examples=8, stateful_step_count=15, deadline=None)
    )


def test_nan_does_not_become_nothing(path: Path) -> None:
    with TrialRecords(path) as records:
        records.add(trial(0, value=math.nan))
        assert math.isnan(records.load()[0].values[0])
