"""The ends of things: of trials under "batch", of workers, of the storage, of its file."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optimizer.errors import StoreArgumentError, StoreClosedError, StorePathError
from optimizer.stores.optuna_storage import DURABILITIES, SQLiteStorage

pytestmark = pytest.mark.usefixtures("quiet")

UNIT = FloatDistribution(0, 1)
LONG_S = 1_000.0  # nothing is written by itself

IN_A_CHILD = """
import multiprocessing
import optuna
from optimizer.stores.optuna_storage import SQLiteStorage
optuna.logging.set_verbosity(optuna.logging.ERROR)
def work(storage):
    study = optuna.load_study(study_name="s", storage=storage)
    for value in range(3):
        study.tell(study.ask(), value)
if __name__ == "__main__":
    storage = SQLiteStorage(path, durability="batch", delay_s=1000.0)
    optuna.create_study(storage=storage, study_name="s")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(storage,)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
"""


def new_study(storage: SQLiteStorage) -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE], "s")


def beats(path: Path) -> int:
    with closing(sqlite3.connect(path)) as raw:
        ((count,),) = raw.execute("SELECT count(*) FROM optuna_heartbeats").fetchall()
    return int(count)


# --- of trials


@pytest.mark.parametrize("durability", DURABILITIES)
def test_of_many_who_fail_a_trial_one_succeeds(path: Path, durability: str) -> None:
    """Optuna retries it wherever this returned True."""
    with (
        SQLiteStorage(path, durability=durability, delay_s=LONG_S) as ours,
        SQLiteStorage(path, durability=durability, delay_s=LONG_S) as theirs,
    ):
        trial_id = ours.create_new_trial(new_study(ours))
        theirs.get_trial(trial_id)
        assert theirs.set_trial_state_values(trial_id, TrialState.FAIL)
        with pytest.raises(RuntimeError, match="has already finished"):
            ours.set_trial_state_values(trial_id, TrialState.FAIL)


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_finished_trial_leaves_no_heartbeat(path: Path, durability: str) -> None:
    with SQLiteStorage(path, durability=durability, heartbeat_interval=60) as storage:
        study_id = new_study(storage)
        for state in (TrialState.COMPLETE, TrialState.FAIL):
            trial_id = storage.create_new_trial(study_id)
            storage.record_heartbeat(trial_id)
            values = [1.0] if state == TrialState.COMPLETE else None
            storage.set_trial_state_values(trial_id, state, values)
        storage.flush()
        assert beats(path) == 0


# --- of workers


def test_a_child_that_ends_writes_what_it_kept(run: Callable[..., str], path: Path) -> None:
    """A child of multiprocessing ends without what `atexit` would do."""
    run(IN_A_CHILD, path)
    with SQLiteStorage(path) as storage:
        trials = storage.get_all_trials(storage.get_study_id_from_name("s"))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert sorted(trial.value or 0.0 for trial in trials) == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]


# --- of the storage


def test_nothing_is_kept_for_a_storage_that_was_closed(path: Path) -> None:
    storage = SQLiteStorage(path, delay_s=0.05)
    study_id = new_study(storage)
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_param(trial_id, "x", 0.5, UNIT)
    storage.close()
    calls: list[Callable[[], object]] = [
        lambda: storage.set_trial_param(trial_id, "y", 0.5, UNIT),
        lambda: storage.set_trial_user_attr(trial_id, "a", 1),
        lambda: storage.set_trial_intermediate_value(trial_id, 0, 1.0),
        lambda: storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0]),
        lambda: storage.create_new_trial(study_id),
        lambda: storage.get_all_trials(study_id),
        lambda: storage.get_n_trials(study_id),
        storage.get_all_studies,
    ]
    for call in calls:
        with pytest.raises(StoreClosedError):
            call()
    assert not storage._has_pending()
    with SQLiteStorage(path) as other:
        assert other.get_trial(trial_id).params == {"x": 0.5}


def test_power_waits_for_the_disk_again_after_an_interrupt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the start of a trial, which does not wait, and the way back."""
    with SQLiteStorage(path, durability="power", delay_s=LONG_S) as storage:
        study_id = new_study(storage)
        trial_id = storage.create_new_trial(study_id)
        reading, calls = type(storage._database).reading, []

        def interrupted(database: object) -> object:
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return reading(database)  # type: ignore[arg-type]  # the database

        monkeypatch.setattr(type(storage._database), "reading", interrupted)
        with pytest.raises(KeyboardInterrupt):
            storage.create_new_trial(study_id)
        monkeypatch.undo()
        found: list[int] = []
        moment = storage._database.moment_within

        def watching(raw: sqlite3.Connection) -> tuple[int, int]:
            found.extend(raw.execute("PRAGMA synchronous").fetchone())
            return moment(raw)

        monkeypatch.setattr(storage._database, "moment_within", watching)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        assert found == [2]  # FULL


# --- of its file


@pytest.mark.parametrize("end", ["deleted", "moved", "replaced"])
def test_a_file_that_went_away_is_noticed(path: Path, end: str) -> None:
    """SQLite would go on writing to a file that has no name any more."""
    storage = SQLiteStorage(path)
    study = optuna.create_study(storage=storage, study_name="s")
    trial = study.ask()
    if end == "deleted":
        path.unlink()
    elif end == "moved":
        path.rename(path.with_name("moved.db"))
    else:
        os.replace(whole_file(path.with_name("other.db")), path)
    with pytest.raises(StorePathError, match="while it was open"):
        storage.remove_session()
    storage._look_at_s = 0.0  # half a second is over
    for call in (study.ask, lambda: study.tell(trial, 1.0)):
        with pytest.raises(StorePathError, match="while it was open"):
            call()
    storage.close()


def whole_file(path: Path) -> Path:
    SQLiteStorage(path).close()
    return path


def test_names_that_have_no_bytes_are_refused_or_kept(path: Path) -> None:
    lone = "\ud800"
    with SQLiteStorage(path) as storage:
        study_id = new_study(storage)
        with pytest.raises(StoreArgumentError, match="surrogate"):
            storage.set_study_user_attr(study_id, lone, 1)
        storage.set_study_user_attr(study_id, "", lone)
        trial_id = storage.create_new_trial(study_id)
        storage.set_trial_param(trial_id, lone, 0.5, UNIT)
        storage.set_trial_user_attr(trial_id, lone, lone)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    with SQLiteStorage(path) as storage:
        found = storage.get_trial(trial_id)
        assert (found.params, found.user_attrs) == ({lone: 0.5}, {lone: lone})
        assert storage.get_study_user_attrs(study_id) == {"": lone}


def test_threads_share_a_trial(path: Path) -> None:
    """Every attribute that a thread set is there at the end, whoever told the trial."""
    with SQLiteStorage(path, delay_s=0.001) as storage:
        trial_id = storage.create_new_trial(new_study(storage))

        def work(who: int) -> None:
            for n in range(40):
                storage.set_trial_user_attr(trial_id, f"{who}-{n}", n)
                if n % 8 == 0:
                    storage.set_trial_intermediate_value(trial_id, 100 * who + n, float(n))

        threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    with SQLiteStorage(path) as storage:
        found = storage.get_trial(trial_id)
        assert len(found.user_attrs) == 160
        assert len(found.intermediate_values) == 20
