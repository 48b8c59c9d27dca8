"""How SQLiteStorage reads: late, once, and copies for who wants to change something."""

from __future__ import annotations

import copy
import os
import pickle
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from storage_files import LONG_S, UNIT, Open, new_study

from optimizer.stores._writing import Writer
from optimizer.stores.optuna_storage import SQLiteStorage

pytestmark = pytest.mark.usefixtures("quiet")


def filled(storage: SQLiteStorage, count: int) -> int:
    study_id = new_study(storage)
    for number in range(count):
        trial_id = storage.create_new_trial(study_id)
        storage.set_trial_param(trial_id, "x", number / count, UNIT)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [-float(number)])
    return study_id


def test_finished_trials_are_made_once_and_late(
    open_storage: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = filled(open_storage(), 30)
    made: list[int] = []
    begin = FrozenTrial.__init__

    def counting(self: FrozenTrial, number: int, *args: Any, **kwargs: Any) -> None:
        made.append(number)
        begin(self, number, *args, **kwargs)

    monkeypatch.setattr(FrozenTrial, "__init__", counting)
    storage = open_storage()
    assert storage.get_n_trials(study_id, TrialState.COMPLETE) == 30
    assert storage.get_trial_id_from_study_id_trial_number(study_id, 7) > 0
    assert made == []
    assert storage.get_best_trial(study_id).number == 29
    assert made == [29]
    first = storage.get_all_trials(study_id, deepcopy=False)
    assert sorted(made) == list(range(30))
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    again = storage.get_all_trials(study_id, deepcopy=False)
    assert sorted(made) == list(range(31))
    assert all(mine is its for mine, its in zip(first, again, strict=False))


def test_what_ten_parameters_cost_in_memory_and_on_disk(open_storage: Open, path: Path) -> None:
    """Bytes for each trial, as rows that nobody asked for, and as trials."""
    count, names = 400, [f"parameter{n}" for n in range(10)]
    storage = open_storage()
    study_id = new_study(storage)
    for number in range(count):
        params = {name: (number + n) / 1_000 for n, name in enumerate(names)}
        distributions: dict[str, Any] = dict.fromkeys(names, UNIT)
        trial = optuna.create_trial(value=1.0, params=params, distributions=distributions)
        storage.create_new_trial(study_id, trial)
    storage.close()
    storage = open_storage()
    assert storage.get_study_name_from_id(study_id) == "s"
    tracemalloc.start()
    try:
        assert storage.get_n_trials(study_id) == count
        as_rows = tracemalloc.get_traced_memory()[0]
        trials = storage.get_all_trials(study_id, deepcopy=False)
        as_trials = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(trials) == count
    assert as_rows < 1_000 * count
    assert as_trials < 2_200 * count  # with both lists, and one dictionary of distributions
    assert all(trial.distributions is trials[0].distributions for trial in trials)
    assert os.path.getsize(path) < 500 * count


def test_a_deep_copy_is_the_callers(open_storage: Open) -> None:
    storage = open_storage()
    study_id = new_study(storage)
    trial = optuna.create_trial(
        value=1.0,
        params={"x": 0.5},
        distributions={"x": UNIT},
        user_attrs={"a": [1, {"b": []}]},
        system_attrs={"c": {"d": 1}},
        intermediate_values={1: 0.5},
    )
    storage.create_new_trial(study_id, trial)
    (kept,) = storage.get_all_trials(study_id, deepcopy=False)
    ref = copy.deepcopy(kept)
    (mine,) = storage.get_all_trials(study_id)
    assert mine == ref
    mine.params["x"] = 0.25
    mine.user_attrs["a"][1]["b"].append(1)
    mine.system_attrs["c"]["d"] = 2
    mine.intermediate_values[2] = 0.0
    mine.distributions.clear()
    mine.values = [2.0]
    assert storage.get_all_trials(study_id, deepcopy=False) == [ref]


def test_optuna_may_change_a_running_trial_it_got(open_storage: Open) -> None:
    storage = open_storage()
    study_id = new_study(storage)
    trial_id = storage.create_new_trial(study_id)
    trial = storage.get_trial(trial_id)
    trial.params["x"] = 0.5
    trial.distributions["x"] = UNIT
    trial.system_attrs["a"] = 1
    assert storage.get_trial(trial_id).params == storage.get_trial(trial_id).distributions == {}
    assert storage.get_all_trials(study_id)[0].system_attrs == {}


def test_only_the_study_that_is_asked_for_is_read(open_storage: Open) -> None:
    first = open_storage()
    study_id = filled(first, 5)
    other = first.create_new_study([StudyDirection.MAXIMIZE], "other")
    storage = open_storage()
    assert storage.get_n_trials(other) == 0
    assert study_id not in storage._mirrors
    trial_id = first.get_all_trials(study_id)[3]._trial_id
    assert storage.get_trial(trial_id).number == 3  # by the id alone
    assert study_id in storage._mirrors


def test_a_pickle_opens_the_same_file_with_the_same_settings(open_storage: Open) -> None:
    storage = open_storage(durability="batch", delay_s=LONG_S, timeout_s=7.0, grace_period=5)
    trial_id = storage.create_new_trial(new_study(storage))
    storage.set_trial_user_attr(trial_id, "a", 1)
    with pickle.loads(pickle.dumps(storage)) as other:
        assert other.get_trial(trial_id).user_attrs == {"a": 1}
        assert other._settings() == storage._settings()
        assert repr(other) == repr(storage)


def test_threads_share_a_storage(open_storage: Open) -> None:
    storage = open_storage()
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=60, n_jobs=6)
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(60))
    assert all(trial.values == [trial.params["x"]] for trial in trials)
    assert threading.active_count() < 10
    storage.check()


def test_an_interrupt_after_a_commit_loses_nothing(
    open_storage: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory did not hear of the commit: it is read from the file."""
    storage = open_storage()
    study_id = filled(storage, 3)
    trial_id = storage.create_new_trial(study_id)
    monkeypatch.setattr(Writer, "commit", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.create_new_trial(study_id)
    with pytest.raises(KeyboardInterrupt):
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [5.0])
    monkeypatch.undo()
    assert [t.state.name for t in storage.get_all_trials(study_id)] == [
        *["COMPLETE"] * 4,
        "RUNNING",
    ]
    assert storage.get_trial(trial_id).value == 5.0
    storage.create_new_trial(study_id)
    assert storage.get_n_trials(study_id) == 6
    storage.check()


def _interrupted(writer: object) -> None:
    raise KeyboardInterrupt
