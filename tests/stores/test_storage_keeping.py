"""What SQLiteStorage keeps in memory of running trials, and when it writes that."""

from __future__ import annotations

import sqlite3
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from storage_files import LONG_S, UNIT, Open, new_study
from storage_proxies import let_it_write

from optimizer.errors import StoreArgumentError, StoreClosedError, StoreLockedError
from optimizer.stores import _storage_life
from optimizer.stores._one_connection import OneConnection
from optimizer.stores.optuna_storage import DURABILITIES, SQLiteStorage

pytestmark = pytest.mark.usefixtures("quiet")


# --- running trials


@pytest.mark.parametrize("durability", DURABILITIES)
def test_others_see_what_runs_after_the_delay(open_storage: Open, durability: str) -> None:
    ours, theirs = open_storage(delay_s=0.01, durability=durability), open_storage()
    trial_id = ours.create_new_trial(new_study(ours))
    assert theirs.get_trial(trial_id).state == TrialState.RUNNING
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    ours.set_trial_user_attr(trial_id, "who", "me")
    ours.set_trial_system_attr(trial_id, "what", [1])
    let_it_write(ours)
    seen = theirs.get_trial(trial_id)
    assert (seen.params, seen.user_attrs) == ({"x": 0.5}, {"who": "me"})
    assert seen.system_attrs == {"what": [1]}
    assert seen.distributions == {"x": UNIT}


def test_a_report_writes_what_was_kept(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S), open_storage()
    trial_id = ours.create_new_trial(new_study(ours))
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    assert theirs.get_trial(trial_id).params == {}
    ours.set_trial_intermediate_value(trial_id, 0, 1.5)
    assert theirs.get_trial(trial_id).params == {"x": 0.5}
    assert theirs.get_trial(trial_id).intermediate_values == {0: 1.5}


def test_the_end_of_a_trial_is_seen_at_once(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S), open_storage(delay_s=LONG_S)
    study_id = new_study(ours)
    trial_id = ours.create_new_trial(study_id)
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [2.0])
    seen = theirs.get_trial(trial_id)
    assert (seen.state, seen.values, seen.params) == (TrialState.COMPLETE, [2.0], {"x": 0.5})
    assert theirs.get_best_trial(study_id).number == 0


def test_changes_of_two_processes_to_one_trial_are_joined(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S), open_storage(delay_s=LONG_S)
    trial_id = ours.create_new_trial(new_study(ours))
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    ours.set_trial_user_attr(trial_id, "a", 1)
    theirs.set_trial_param(trial_id, "y", 0.25, UNIT)
    theirs.set_trial_user_attr(trial_id, "a", 2)
    theirs.set_trial_user_attr(trial_id, "b", 3)
    theirs.flush()
    ours.flush()
    for storage in (ours, theirs, open_storage()):
        trial = storage.get_trial(trial_id)
        assert trial.params == {"x": 0.5, "y": 0.25}
        assert trial.user_attrs == {"a": 1, "b": 3}


def test_a_trial_that_somebody_else_finished_cannot_be_changed(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S), open_storage()
    trial_id = ours.create_new_trial(new_study(ours))
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    theirs.set_trial_state_values(trial_id, TrialState.FAIL)
    with pytest.raises(RuntimeError, match="has already finished"):
        ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(RuntimeError, match="has already finished"):
        ours.set_trial_intermediate_value(trial_id, 0, 1.0)
    ours.flush()
    for storage in (ours, theirs):
        assert storage.get_trial(trial_id).state == TrialState.FAIL
        assert storage.get_trial(trial_id).params == {}


def test_a_report_to_a_trial_finished_just_now_raises(open_storage: Open) -> None:
    """It is found when the report is written, if not before."""
    ours, theirs = open_storage(delay_s=LONG_S), open_storage()
    trial_id = ours.create_new_trial(new_study(ours))
    ours.set_trial_user_attr(trial_id, "a", 1)  # looks, and may rest from now on
    theirs.set_trial_state_values(trial_id, TrialState.FAIL)
    ours._attention._alone_from_s = 0.0
    assert ours._attention.rests()
    with pytest.raises(RuntimeError, match="has already finished"):
        ours.set_trial_intermediate_value(trial_id, 0, 1.0)


def test_a_process_rests_only_while_it_is_alone(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S), open_storage()
    study_id = new_study(ours)
    trial_id = ours.create_new_trial(study_id)
    assert ours._attention.rests()
    theirs.create_new_trial(study_id)
    ours.get_trial(trial_id)
    assert not ours._attention.rests()
    theirs.set_trial_state_values(trial_id, TrialState.FAIL)
    with pytest.raises(RuntimeError, match="has already finished"):
        ours.set_trial_param(trial_id, "x", 0.5, UNIT)


def test_what_is_kept_is_written_when_nobody_has_the_storage(path: Path) -> None:
    storage = SQLiteStorage(path, delay_s=0.02, durability="batch")
    study_id = new_study(storage)
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    gone = weakref.ref(storage)
    del storage
    deadline_s = time.monotonic() + 30.0
    while gone() is not None:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    with SQLiteStorage(path) as other:
        assert other.get_trial(trial_id).value == 1.0


def test_a_thread_that_idles_takes_the_storage_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps the storage alive while there is something to write, and not otherwise."""
    monkeypatch.setattr(_storage_life, "_IDLE_NAPS", 1_000_000)
    storage = SQLiteStorage(path, delay_s=0.01)
    trial_id = storage.create_new_trial(new_study(storage))
    storage.set_trial_user_attr(trial_id, "a", 1)
    thread, handed = storage._delay._thread, storage._delay._handed
    assert thread is not None
    assert handed
    deadline_s = time.monotonic() + 30.0
    while handed:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    assert storage._delay._thread is thread
    storage.set_trial_user_attr(trial_id, "a", 2)
    assert storage._delay._thread is thread
    del storage
    thread.join(30.0)
    assert not thread.is_alive()
    with SQLiteStorage(path) as other:
        assert other.get_trial(trial_id).user_attrs == {"a": 2}


def test_the_end_of_the_process_writes_what_is_kept(run: Callable[..., str], path: Path) -> None:
    run(
        """
import optuna
from optimizer.stores.optuna_storage import SQLiteStorage
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = SQLiteStorage(path, delay_s=1000.0)
trial_id = storage.create_new_trial(storage.create_new_study([optuna.study.StudyDirection(1)]))
storage.set_trial_user_attr(trial_id, "a", 1)
""",
        path,
    )
    with SQLiteStorage(path) as storage:
        (study,) = storage.get_all_studies()
        assert storage.get_all_trials(study._study_id)[0].user_attrs == {"a": 1}


def test_closing_writes_what_is_kept(path: Path) -> None:
    with SQLiteStorage(path, delay_s=LONG_S) as storage:
        trial_id = storage.create_new_trial(new_study(storage))
        storage.set_trial_param(trial_id, "x", 0.5, UNIT)
    storage.close()
    with pytest.raises(StoreClosedError):
        storage.get_trial(trial_id)
    with SQLiteStorage(path) as storage:
        assert storage.get_trial(trial_id).params == {"x": 0.5}


def test_what_cannot_be_written_is_kept_and_tried_again(open_storage: Open, path: Path) -> None:
    ours = open_storage(delay_s=0.01, timeout_s=0.05)
    study_id = new_study(ours)
    trial_id = ours.create_new_trial(study_id)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        ours.set_trial_param(trial_id, "x", 0.5, UNIT)
        with pytest.raises(StoreLockedError):
            ours.create_new_trial(study_id)
        assert ours.get_trial(trial_id).params == {"x": 0.5}  # readers never wait for writers
        assert ours._has_pending()
        raw.execute("ROLLBACK")
    let_it_write(ours)
    assert open_storage().get_trial(trial_id).params == {"x": 0.5}
    assert ours.get_n_trials(study_id) == 1


# --- durability


def test_batch_writes_ends_together_with_the_next_trial(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S, durability="batch"), open_storage()
    study_id = new_study(ours)
    trial_id = ours.create_new_trial(study_id)
    ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert ours.get_trial(trial_id).state == TrialState.COMPLETE
    assert ours.get_best_trial(study_id).value == 1.0
    assert theirs.get_trial(trial_id).state == TrialState.RUNNING
    with pytest.raises(RuntimeError, match="has already finished"):
        ours.set_trial_user_attr(trial_id, "a", 1)
    ours.create_new_trial(study_id)
    assert theirs.get_trial(trial_id).value == 1.0
    assert not ours._has_pending()


def test_batch_gives_way_to_an_end_that_was_written_first(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S, durability="batch"), open_storage()
    study_id = new_study(ours)
    trial_id = ours.create_new_trial(study_id)
    ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    theirs.set_trial_state_values(trial_id, TrialState.FAIL)
    ours.remove_session()
    for storage in (ours, theirs):
        assert storage.get_trial(trial_id).state == TrialState.FAIL
        with pytest.raises(ValueError, match="No trials are completed"):
            storage.get_best_trial(study_id)


def test_the_best_trial_is_found_anew_where_its_end_gave_way(open_storage: Open) -> None:
    ours, theirs = open_storage(delay_s=LONG_S, durability="batch"), open_storage()
    study_id = new_study(ours)
    trials = [ours.create_new_trial(study_id) for _ in range(3)]
    for trial_id, value in zip(trials, (3.0, 1.0, 2.0), strict=True):
        ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
    assert ours.get_best_trial(study_id).number == 1
    theirs.set_trial_state_values(trials[1], TrialState.FAIL)
    assert ours.get_best_trial(study_id).number == 2


@pytest.mark.parametrize(
    ("durability", "levels"),
    [("process", [1, 1, 1]), ("power", [1, 1, 2]), ("batch", [1, 1, 1])],
)
def test_only_the_end_of_a_trial_waits_for_the_disk_and_only_under_power(
    open_storage: Open, monkeypatch: pytest.MonkeyPatch, durability: str, levels: list[int]
) -> None:
    """By SQLite's `synchronous` as each transaction found it: 1 is NORMAL, 2 is FULL."""
    storage = open_storage(durability=durability, delay_s=0.0)
    study_id = new_study(storage)
    assert storage.get_n_trials(study_id) == 0
    found: list[int] = []
    moment = OneConnection.moment_within

    def watching(database: OneConnection, raw: sqlite3.Connection) -> tuple[int, int]:
        found.extend(raw.execute("PRAGMA synchronous").fetchone())
        return moment(database, raw)

    monkeypatch.setattr(OneConnection, "moment_within", watching)
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_param(trial_id, "x", 0.5, UNIT)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert found == levels


@pytest.mark.parametrize(
    "settings", [{"durability": "full"}, {"delay_s": -1.0}, {"delay_s": "x"}, {"timeout_s": -1}]
)
def test_settings_that_make_no_sense(path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(StoreArgumentError, match=next(iter(settings))):
        SQLiteStorage(path, **settings)
    assert not path.exists()
