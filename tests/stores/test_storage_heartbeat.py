"""Heartbeats: a killed worker's trial is failed, and tried again."""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages._heartbeat import is_heartbeat_enabled
from optuna.trial import FrozenTrial, TrialState

from optimizer.errors import StoreArgumentError
from optimizer.stores.optuna_storage import SQLiteStorage

KILLED = """
import os, signal, warnings
import optuna
from optimizer.stores.optuna_storage import SQLiteStorage
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
storage = SQLiteStorage(path, heartbeat_interval=1, grace_period=1)
study = optuna.create_study(storage=storage, study_name="s")
study.enqueue_trial({"x": 0.25})
def objective(trial):
    trial.suggest_float("x", 0, 1)
    while storage._has_pending():
        pass
    os.kill(os.getpid(), signal.SIGKILL)
study.optimize(objective, n_trials=1)
"""


@pytest.fixture(autouse=True)
def _no_news_of_heartbeats(quiet: None) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def silence(path: str | os.PathLike[str], seconds: float) -> None:
    """Move all heartbeats into the past."""
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE optuna_heartbeats SET beat = beat - ?", (round(1000 * seconds),))


def retry(**settings: Any) -> Any:
    callbacks = optuna.storages
    kind = getattr(callbacks, "RetryHeartbeatStaleTrialCallback", None)
    return (kind or callbacks.RetryFailedTrialCallback)(**settings)


def test_a_killed_workers_trial_is_failed_and_retried(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    process = start(KILLED, path)
    _, error = process.communicate(timeout=60)
    assert process.returncode == -9, error
    with SQLiteStorage(
        path, heartbeat_interval=1, grace_period=1, failed_trial_callback=retry(max_retry=1)
    ) as storage:
        study = optuna.load_study(study_name="s", storage=storage)
        assert study.trials[0].state == TrialState.RUNNING
        assert study.trials[0].params == {"x": 0.25}
        silence(path, 10.0)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        states = [trial.state for trial in study.trials]
        assert states == [TrialState.FAIL, TrialState.COMPLETE]
        assert study.trials[1].params == {"x": 0.25}
        assert retry().retried_trial_number(study.trials[1]) == 0


def test_only_silent_running_trials_of_the_study_are_stale(tmp_path: Path) -> None:
    with SQLiteStorage(tmp_path / "study.db", heartbeat_interval=60, grace_period=100) as storage:
        study_id, other = (
            storage.create_new_study([optuna.study.StudyDirection.MINIMIZE]) for _ in range(2)
        )
        silent, living, unheard, finished = (storage.create_new_trial(study_id) for _ in range(4))
        elsewhere = storage.create_new_trial(other)
        for trial_id in (silent, finished, elsewhere):
            storage.record_heartbeat(trial_id)
        silence(storage.path, 99.0)
        assert storage._get_stale_trial_ids(study_id) == []
        silence(storage.path, 2.0)
        storage.record_heartbeat(living)
        storage.set_trial_state_values(finished, TrialState.FAIL)
        assert storage._get_stale_trial_ids(study_id) == [silent]
        assert storage._get_stale_trial_ids(other) == [elsewhere]
        storage.record_heartbeat(silent)
        assert storage._get_stale_trial_ids(study_id) == []
        assert storage.get_trial(unheard).state == TrialState.RUNNING


def test_the_grace_period_is_twice_the_interval_unless_given(tmp_path: Path) -> None:
    with SQLiteStorage(tmp_path / "study.db", heartbeat_interval=50) as storage:
        study_id = storage.create_new_study([optuna.study.StudyDirection.MINIMIZE])
        trial_id = storage.create_new_trial(study_id)
        storage.record_heartbeat(trial_id)
        silence(storage.path, 99.0)
        assert storage._get_stale_trial_ids(study_id) == []
        silence(storage.path, 2.0)
        assert storage._get_stale_trial_ids(study_id) == [trial_id]


def test_heartbeats_are_off_unless_asked_for(tmp_path: Path) -> None:
    with SQLiteStorage(tmp_path / "study.db") as storage:
        assert not is_heartbeat_enabled(storage)
        assert storage.get_heartbeat_interval() is None


def called(study: optuna.Study, trial: FrozenTrial) -> None:
    """A callback that can be pickled."""


def test_the_callback_goes_by_both_of_its_names(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    for name in ("failed_trial_callback", "heartbeat_stale_trial_callback"):
        callbacks: dict[str, Any] = {name: called}
        with SQLiteStorage(path, heartbeat_interval=1, **callbacks) as storage:
            assert storage.get_heartbeat_stale_trial_callback() is called
            assert storage.get_failed_trial_callback() is called
    with pytest.raises(StoreArgumentError, match="two names of the same"):
        SQLiteStorage(path, failed_trial_callback=called, heartbeat_stale_trial_callback=called)


@pytest.mark.parametrize("name", ["heartbeat_interval", "grace_period"])
@pytest.mark.parametrize("wrong", [0, -1])
def test_periods_are_positive(tmp_path: Path, name: str, wrong: int) -> None:
    periods: dict[str, Any] = {name: wrong}
    with pytest.raises(StoreArgumentError, match=name):
        SQLiteStorage(tmp_path / "study.db", **periods)
    assert not list(tmp_path.iterdir())
