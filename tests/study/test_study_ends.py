"""How trials and studies end: errors, stop, time, callbacks, and a storage that gives up."""

from __future__ import annotations

import functools
import pickle
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

import optimizer
from optimizer.efficiency import EfficiencyConfig
from optimizer.errors import StoreClosedError, StoreFullError
from optimizer.study.ending import TRACEBACK
from optimizer.study.executors import Threads

FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}
THREADS = EfficiencyConfig(use_process_pool=False, enable_data_subsampling=False)
PLACES: dict[str, dict[str, Any]] = {
    "here": {},
    "threads": {"workers": 2, "mode": THREADS},
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    return PLACES[request.param]


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def fails_at(*numbers: int, error: Callable[[], Exception] = ValueError) -> Any:
    def objective(params: dict[str, Any], context: Any) -> float:
        context.set_user_attr("seen", True)
        if context.number in numbers:
            raise error()
        return float(params["x"])

    return objective


def test_an_error_that_is_caught_fails_its_trial_and_is_kept(place: dict[str, Any]) -> None:
    result = optimizer.optimize(fails_at(1), FLOAT, n_trials=4, catch=ValueError, **place)
    trial = result.study.trials[1]
    assert sorted(states(result.study)) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    assert trial.state == TrialState.FAIL
    assert "raise error()" in trial.user_attrs[TRACEBACK]
    assert "ValueError" in trial.user_attrs[TRACEBACK]
    assert trial.user_attrs["seen"] is True


def test_any_other_error_ends_the_study(place: dict[str, Any]) -> None:
    study = optuna.create_study()
    with pytest.raises(ZeroDivisionError):
        optimizer.optimize(
            fails_at(1, error=ZeroDivisionError),
            FLOAT,
            n_trials=50,
            study=study,
            catch=(ValueError, KeyError),
            **place,
        )
    assert study.trials[1].state == TrialState.FAIL
    assert TRACEBACK in study.trials[1].user_attrs
    assert len(study.trials) < 50
    assert "RUNNING" not in states(study)


@pytest.mark.parametrize("value", [None, float("nan"), "abc", [1.0, 2.0], object()])
def test_what_is_no_value_fails_the_trial(value: Any, place: dict[str, Any]) -> None:
    result = optimizer.optimize(lambda params: value, FLOAT, n_trials=2, **place)
    assert states(result.study) == ["FAIL", "FAIL"]


def test_pruned_trials_have_their_last_value(place: dict[str, Any]) -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        context.report(3, 1.5)
        raise optuna.TrialPruned("enough")

    result = optimizer.optimize(objective, FLOAT, n_trials=2, **place)
    assert [(trial.state.name, trial.value) for trial in result.study.trials] == [
        ("PRUNED", 1.5),
        ("PRUNED", 1.5),
    ]
    assert result.run.pruned == 2


def test_stop_in_a_callback_or_in_an_objective(place: dict[str, Any]) -> None:
    def after_three(study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.number == 2:
            study.stop()

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 2:
            trial.study.stop()
        return trial.suggest_float("x", 0, 1)

    result = optimizer.optimize(
        lambda params: params["x"], FLOAT, n_trials=50, callbacks=[after_three], **place
    )
    assert 3 <= len(result.study.trials) < 50
    result = optimizer.optimize(objective, n_trials=50, **place)
    assert 3 <= len(result.study.trials) < 50
    assert set(states(result.study)) == {"COMPLETE"}


def test_callbacks_hear_of_every_trial_and_may_change_what_they_get() -> None:
    heard: list[tuple[int, str]] = []

    def callback(study: optuna.Study, trial: FrozenTrial) -> None:
        assert isinstance(study, optuna.Study)
        heard.append((trial.number, trial.state.name))
        trial.user_attrs["mine"] = 1
        trial.params.clear()

    study = optuna.create_study()
    for x in (1.0, 1.0, 2.0):
        study.enqueue_trial({"x": x})
    optimizer.optimize(
        fails_at(2), FLOAT, study=study, n_trials=4, catch=ValueError, callbacks=[callback]
    )
    assert heard == [(0, "COMPLETE"), (1, "FAIL"), (2, "FAIL"), (3, "COMPLETE")]
    assert study.trials[0].params == {"x": 1.0}
    assert "mine" not in study.trials[0].user_attrs


def test_an_error_of_a_callback_ends_the_study(place: dict[str, Any]) -> None:
    def callback(study: optuna.Study, trial: FrozenTrial) -> None:
        raise KeyError("mine")

    study = optuna.create_study()
    with pytest.raises(KeyError, match="mine"):
        optimizer.optimize(
            lambda params: params["x"], FLOAT, study=study, callbacks=[callback], **place
        )
    assert study.trials[0].state == TrialState.COMPLETE
    assert "RUNNING" not in states(study)


def test_an_error_of_a_callback_leaves_what_ended_before_it_complete() -> None:
    both = threading.Barrier(2)

    def objective(params: dict[str, Any]) -> float:
        both.wait(timeout=60)  # so that both end at once
        return float(params["x"])

    def callback(study: optuna.Study, trial: FrozenTrial) -> None:
        raise KeyError("mine")

    study = optuna.create_study()
    wait = Threads.wait

    def wait_for_both(self: Threads, *asked: Any) -> list[Any]:
        events = wait(self, *asked)
        while len(events) < 2:
            events += wait(self, *asked)
        return events

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Threads, "wait", wait_for_both)
        with pytest.raises(KeyError, match="mine"):
            optimizer.optimize(
                objective, FLOAT, n_trials=2, study=study, mode=THREADS, workers=2,
                callbacks=[callback],
            )  # fmt: skip
    assert states(study) == ["COMPLETE", "COMPLETE"]


def test_max_trials_callback() -> None:
    callback = optuna.study.MaxTrialsCallback(3, states=(TrialState.COMPLETE,))
    result = optimizer.optimize(lambda p: p["x"], FLOAT, n_trials=9, callbacks=[callback])
    assert len(result.study.trials) == 3


def test_no_trial_is_started_after_the_timeout(place: dict[str, Any]) -> None:
    def objective(params: dict[str, Any]) -> float:
        time.sleep(0.02)
        return float(params["x"])

    result = optimizer.optimize(objective, FLOAT, timeout=0.1, **place)
    assert 1 <= len(result.study.trials) <= 20  # each takes 0.02 s at least
    assert set(states(result.study)) == {"COMPLETE"}
    assert optimizer.optimize(objective, FLOAT, timeout=0, **place).run.trials == 0


def test_a_sampler_that_raises_fails_its_trial() -> None:
    class Raising(optuna.samplers.RandomSampler):
        def sample_independent(self, *_: Any) -> Any:
            raise RuntimeError("no idea")

    study = optuna.create_study(sampler=Raising())
    with pytest.raises(RuntimeError, match="no idea"):
        optimizer.optimize(lambda params: 1.0, FLOAT, study=study, n_trials=3)
    assert states(study) == ["FAIL"]
    optimizer.optimize(lambda params: 1.0, FLOAT, study=study, n_trials=3, catch=RuntimeError)
    assert states(study) == ["FAIL"] * 4


def test_a_storage_that_is_closed_ends_the_study_with_its_own_error(tmp_path: Path) -> None:
    storage = optimizer.SQLiteStorage(tmp_path / "study.db")

    def objective(params: dict[str, Any], context: Any) -> float:
        if context.number == 2:
            storage.close()
        return float(params["x"])

    with pytest.raises(StoreClosedError):
        optimizer.optimize(objective, FLOAT, n_trials=9, storage=storage, study_name="s")
    with optimizer.SQLiteStorage(tmp_path / "study.db") as again:
        trials = again.get_all_trials(again.get_study_id_from_name("s"))
        assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_a_full_store_ends_the_study_with_one_error(tmp_path: Path) -> None:
    storage = optimizer.SQLiteStorage(tmp_path / "study.db")

    def objective(params: dict[str, Any], context: Any) -> float:
        if context.number == 2:
            pages = storage._database.fetch("PRAGMA page_count", ())[0][0]
            storage._database.fetch(f"PRAGMA max_page_count = {pages}", ())
        context.set_user_attr("long", "x" * 20_000)
        return float(params["x"])

    with pytest.raises(StoreFullError):
        optimizer.optimize(objective, FLOAT, n_trials=9, storage=storage, study_name="s")
    with optimizer.SQLiteStorage(tmp_path / "study.db") as again:
        trials = again.get_all_trials(again.get_study_id_from_name("s"))
        assert [trial.state.name for trial in trials[:2]] == ["COMPLETE", "COMPLETE"]
        again.check()


def test_a_study_within_a_study_is_refused() -> None:
    study = optuna.create_study()

    def objective(params: dict[str, Any]) -> float:
        optimizer.optimize(lambda inner: 1.0, FLOAT, study=study, n_trials=1)
        return 0.0

    with pytest.raises(optimizer.OptimizerError, match="while it is running"):
        optimizer.optimize(objective, FLOAT, study=study, n_trials=1)
    other = optimizer.optimize(
        lambda params: optimizer.optimize(lambda p: p["x"] ** 2, FLOAT, n_trials=3).best_value,
        FLOAT,
        n_trials=2,
    )
    assert set(states(other.study)) == {"COMPLETE"}


def test_an_error_from_a_worker_process_says_once_where_it_was_raised() -> None:
    objective = fails_at(1, error=functools.partial(ValueError, "too big"))
    with pytest.raises(ValueError, match="too big") as caught:
        optimizer.optimize(objective, FLOAT, n_trials=20, workers=2)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (type(error), error.args) == (ValueError, ("too big",))
    for one in (error, caught.value):
        (note,) = one.__notes__
        assert note.startswith("raised by trial 1 in a worker:\nTraceback ")
        assert f'File "{__file__}"' in note
        assert note.endswith("ValueError: too big")


def test_an_error_that_has_its_frames_gets_no_note(place: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        optimizer.optimize(fails_at(1, error=ZeroDivisionError), FLOAT, n_trials=20, **place)
    assert not hasattr(caught.value, "__notes__")
    assert __file__ in "".join(traceback.format_exception(caught.value))
