"""What SQLiteStorage writes comes back exactly, and what is damaged is not taken for data."""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import optuna
import pytest
from faulty_files import unchanged
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from test_store_migration import guard_of_schema_1
from whole_stores import fill, whole_store

from optimizer.errors import (
    ForeignFileError,
    NewerSchemaError,
    StoreArgumentError,
    StoreCorruptError,
    StoreError,
    StorePathError,
)
from optimizer.stores import _optuna_rows, _schema
from optimizer.stores._spaces import Spaces, key_of
from optimizer.stores.optuna_storage import SQLiteStorage
from optimizer.stores.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("quiet")

DOUBLES = st.floats() | st.sampled_from([-0.0, 5e-324, math.inf, -math.inf, math.nan])
TIMES = st.datetimes() | st.datetimes(timezones=st.just(timezone(timedelta(hours=-3, seconds=7))))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def bits(values: Any) -> list[bytes]:
    return [struct.pack("<d", value) for value in values]


def trial_of(**fields: Any) -> FrozenTrial:
    usual: dict[str, Any] = {
        "number": 0,
        "state": TrialState.COMPLETE,
        "value": None,
        "values": [0.0],
        "datetime_start": datetime(2026, 1, 2, 3, 4, 5),
        "datetime_complete": datetime(2026, 1, 2, 3, 4, 5, 6),
        "params": {},
        "distributions": {},
        "user_attrs": {},
        "system_attrs": {},
        "intermediate_values": {},
        "trial_id": 1,
    }
    return FrozenTrial(**{**usual, **fields})


def through_a_file(path: Path, *trials: FrozenTrial) -> list[FrozenTrial]:
    """The trials as another process reads them."""
    with SQLiteStorage(path) as storage:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE])
        for trial in trials:
            storage.create_new_trial(study_id, trial)
        mine = storage.get_all_trials(study_id)
    with SQLiteStorage(path) as storage:
        found = storage.get_all_trials(study_id)
        assert [repr(trial) for trial in found] == [repr(trial) for trial in mine]
        storage.check()
    return found


# --- exact


@settings(max_examples=2 * settings().max_examples)
@given(
    values=st.lists(DOUBLES, max_size=5), steps=st.dictionaries(st.integers(0, 2**63 - 1), DOUBLES)
)
def test_doubles_keep_every_bit(values: list[float], steps: dict[int, float]) -> None:
    assert bits(_optuna_rows.unpack(_optuna_rows.pack(values))) == bits(values)
    found = _optuna_rows.unpack_steps(_optuna_rows.pack_steps(steps))
    assert list(found) == list(steps)
    assert bits(found.values()) == bits(steps.values())


@given(time=TIMES)
def test_times_keep_their_microseconds_and_zone(time: datetime) -> None:
    found = _optuna_rows.time_of(_optuna_rows.text_of(time))
    assert found == time
    assert found is not None
    assert found.utcoffset() == time.utcoffset()


@given(attributes=st.dictionaries(st.text(), JSON, max_size=4))
def test_attributes_come_back(attributes: dict[str, Any]) -> None:
    texts = {key: _optuna_rows.attribute(key, value) for key, value in attributes.items()}
    trial = _optuna_rows.attributes_text(texts)
    row = (1, 0, 1, 1, None, None, None, trial, None, None, None, None)
    found = _optuna_rows.frozen(row, Spaces())
    assert found.user_attrs == attributes
    assert list(found.user_attrs) == list(attributes)


def test_trials_of_many_kinds_come_back(path: Path) -> None:
    mixed: dict[str, tuple[Any, BaseDistribution]] = {
        "float": (0.1 + 0.2, FloatDistribution(-1, 1)),
        "log": (1e-300, FloatDistribution(1e-300, 1, log=True)),
        "step": (0.3, FloatDistribution(0, 1, step=0.1)),
        "int": (7, IntDistribution(0, 9)),
        "large": (2**52 + 1, IntDistribution(0, 2**53)),
        "kind": (True, CategoricalDistribution((1.5, True, None, "a", 2))),
        "none": (None, CategoricalDistribution((1.5, True, None, "a", 2))),
    }
    names = list(mixed)
    trials = []
    for number in range(len(names) + 1):  # each in a space of its own
        chosen = names[number:] + names[: number // 2]
        params = {name: mixed[name][0] for name in chosen}
        trials.append(
            trial_of(
                number=number,
                values=[float(number), -math.inf],
                params=params,
                distributions={name: mixed[name][1] for name in chosen},
                user_attrs={"nan": [math.inf], "text": "\u00e4\0'\"", "none": None},
            )
        )
    for ref, comp in zip(trials, through_a_file(path, *trials), strict=True):
        ref._trial_id = comp._trial_id
        assert comp == ref
        assert list(comp.params) == list(ref.params)
        assert list(map(type, comp.params.values())) == list(map(type, ref.params.values()))


def test_choices_that_are_equal_to_python_are_kept_apart(path: Path) -> None:
    trials = [
        trial_of(params={"c": choices[0]}, distributions={"c": CategoricalDistribution(choices)})
        for choices in ((1, 0), (True, False), (1.0, 0.0))
    ]
    with SQLiteStorage(path) as storage:
        for trial in trials:
            study_id = storage.create_new_study([StudyDirection.MINIMIZE])
            storage.create_new_trial(study_id, trial)
            (found,) = storage.get_all_trials(study_id)
            assert type(found.params["c"]) is type(trial.params["c"])
    assert len({key_of("c", trial.distributions["c"]) for trial in trials}) == 3


def test_the_stored_number_of_a_choice_is_kept(path: Path) -> None:
    """Of choices that are equal to Python, what users see does not tell which it was."""
    choices = CategoricalDistribution((True, 1, 1.0))
    with SQLiteStorage(path) as storage:
        trial_id = storage.create_new_trial(storage.create_new_study([StudyDirection.MINIMIZE]))
        storage.set_trial_param(trial_id, "c", 2.0, choices)
        assert storage.get_trial_param(trial_id, "c") == 2.0
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    with SQLiteStorage(path) as storage:
        assert storage.get_trial_param(trial_id, "c") == 2.0
        assert type(storage.get_trial(trial_id).params["c"]) is float
        with pytest.raises(KeyError):
            storage.get_trial_param(trial_id, "d")


def test_ranges_that_change_are_spaces_of_their_own(path: Path) -> None:
    spaces = Spaces()
    first = spaces.with_param(spaces.root, "x", FloatDistribution(0, 1))
    nodes = [spaces.with_param(first, "y", FloatDistribution(0, 1 + n)) for n in range(500)]
    assert len({id(node) for node in nodes}) == 500
    again = [spaces.with_param(first, "y", FloatDistribution(0, 1 + n)) for n in range(500)]
    assert all(one is other for one, other in zip(nodes, again, strict=True))
    trials = [
        trial_of(params={"y": 0.5}, distributions={"y": FloatDistribution(0, 1 + n)})
        for n in range(40)
    ]
    found = through_a_file(path, *trials)
    assert [t.distributions["y"].high for t in found] == [1.0 + n for n in range(40)]  # type: ignore[attr-defined]  # a FloatDistribution


@pytest.mark.parametrize("name", ["", "\u00e4", "a'; DROP TABLE studies; --", "x\0y", "%s {}"])
def test_names_are_text_and_nothing_else(path: Path, name: str) -> None:
    with SQLiteStorage(path) as storage:
        study = optuna.create_study(storage=storage, study_name=name)
        study.set_user_attr(name, name)
        trial = study.ask()
        trial.suggest_float(name, 0, 1)
        trial.set_user_attr(name, name)
        study.tell(trial, 1.0)
    with SQLiteStorage(path) as storage:
        study = optuna.load_study(study_name=name, storage=storage)
        assert study.user_attrs == study.trials[0].user_attrs == {name: name}
        assert list(study.trials[0].params) == [name]
        storage.check()


def test_what_cannot_be_stored_is_refused_and_nothing_is_changed(path: Path) -> None:
    unstorable = trial_of(user_attrs={"a": b""})
    with SQLiteStorage(path) as storage:
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
        trial_id = storage.create_new_trial(study_id)
        refused: list[tuple[type[Exception], Callable[[], object]]] = [
            (StoreArgumentError, lambda: storage.create_new_study([], "\ud800")),
            (TypeError, lambda: storage.set_study_user_attr(study_id, "a", object())),
            (StoreArgumentError, lambda: storage.set_study_user_attr(study_id, 1, 1)),  # type: ignore[arg-type]  # on purpose
            (TypeError, lambda: storage.set_trial_user_attr(trial_id, "a", {1, 2})),
            (StoreArgumentError, lambda: storage.set_trial_system_attr(trial_id, None, 1)),  # type: ignore[arg-type]  # on purpose
            (StoreArgumentError, lambda: storage.set_trial_intermediate_value(trial_id, 2**63, 1)),
            (TypeError, lambda: storage.create_new_trial(study_id, unstorable)),
        ]
        for error, call in refused:
            with pytest.raises(error):
                call()
        assert storage.get_n_trials(study_id) == 1
        assert storage.get_study_user_attrs(study_id) == {}
        assert storage.get_trial(trial_id).user_attrs == {}
        storage.check()


# --- files


def test_a_file_of_an_older_schema_is_carried_on(path: Path) -> None:
    guard_of_schema_1(path, 20)
    with SQLiteStorage(path) as storage:
        assert storage.get_all_studies() == []
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], "default")
        storage.create_new_trial(study_id)
        storage.check()
    with SqliteStore(path) as store:
        assert len(store.signatures) == 20
        fill(store, 20, 2)
        store.check()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (_schema.VERSION,)


@pytest.mark.parametrize(
    ("statements", "error"),
    [
        (["PRAGMA user_version = 99"], NewerSchemaError),
        (["PRAGMA application_id = 1"], ForeignFileError),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone(
    path: Path, statements: list[str], error: type[StoreError]
) -> None:
    whole_store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in statements:
            raw.execute(statement)
    with unchanged(path.parent), pytest.raises(error, match="left as it was"):
        SQLiteStorage(path)


def test_a_path_that_cannot_be_one(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "none" / "study.db", ":memory:", "sqlite:///study.db"):
        with pytest.raises(StorePathError):
            SQLiteStorage(wrong)


DAMAGES = [
    "UPDATE optuna_trials SET params = x'00' WHERE number = 3",
    "UPDATE optuna_trials SET params = NULL WHERE number = 3",
    "UPDATE optuna_trials SET value = x'0000' WHERE number = 3",
    "UPDATE optuna_trials SET steps = x'0000' WHERE number = 3",
    "UPDATE optuna_trials SET user = '{' WHERE number = 3",
    "UPDATE optuna_trials SET started = 'then' WHERE number = 3",
    "UPDATE optuna_trials SET state = 9 WHERE number = 3",
    "UPDATE optuna_trials SET space = 77 WHERE number = 3",
    "UPDATE optuna_trials SET number = 1000000000000 WHERE number = 3",
    "UPDATE optuna_trials SET number = 2 WHERE number = 3",
    "DELETE FROM optuna_trials WHERE number = 3",
    "UPDATE optuna_spaces SET body = '[[1, 2]]'",
    "DELETE FROM optuna_spaces",
    "UPDATE optuna_studies SET directions = '[7]'",
    "INSERT INTO optuna_attributes VALUES (1, 5, 'a', '1')",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_rows_are_not_taken_for_data(path: Path, damage: str) -> None:
    with SQLiteStorage(path) as storage:
        study = optuna.create_study(storage=storage, study_name="s")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=6)
    with closing(sqlite3.connect(path)) as raw, raw:
        assert raw.execute(damage).rowcount
    with SQLiteStorage(path) as storage:
        with pytest.raises(StoreCorruptError, match="damaged") as caught:
            storage.get_all_trials(study._study_id, deepcopy=False)
        assert repr(str(path)) in str(caught.value)
        with pytest.raises(StoreCorruptError):
            storage.check()
