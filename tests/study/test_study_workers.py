"""Trials in worker processes: every kind of objective, deaths, hangs, errors, data."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import optimizer
from optimizer.study.duplicates import SERVED_OF
from optimizer.study.ending import TRACEBACK

FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}
HERE = os.getpid()


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_parameters_and_context_with_shared_data() -> None:
    data = {"close": np.arange(1_000.0), "scale": 2.0}

    def objective(params: dict[str, Any], context: Any) -> float:
        assert not context.data["close"].flags.writeable
        assert context.fraction == 1.0
        context.report(0, params["x"])
        assert context.should_prune() is False
        context.set_user_attr("pid", os.getpid())
        return float(params["x"] * context.data["scale"] + context.data["close"].sum())

    pruner = optuna.pruners.NopPruner()
    result = optimizer.optimize(
        objective, FLOAT, n_trials=8, workers=2, data=data, seed=1, pruner=pruner
    )
    assert set(states(result.study)) == {"COMPLETE"}
    for trial in result.study.trials:
        assert trial.value == trial.params["x"] * 2.0 + 499_500.0
        assert trial.intermediate_values == {0: trial.params["x"]}
        assert trial.user_attrs["pid"] != HERE
    assert result.run.workers == 2
    assert result.run.start_s > 0.0
    assert len(result.run.worker_peak_bytes) == 2


def test_a_trial_objective_that_branches_reports_and_is_pruned() -> None:
    def objective(trial: optuna.Trial) -> float:
        assert os.getpid() != HERE
        name = trial.suggest_categorical("c", ["x", "y"])
        if name == "x":
            value = trial.suggest_float("x", 0, 1, log=False)
        else:
            value = float(trial.suggest_int("y", 2, 8, step=2))
        for step in range(3):
            trial.report(value + step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        trial.set_user_attr("seen", trial.params)
        return value

    pruner = optuna.pruners.ThresholdPruner(upper=7.5)
    result = optimizer.optimize(objective, n_trials=30, workers=2, pruner=pruner, seed=2)
    assert set(states(result.study)) == {"COMPLETE", "PRUNED"}
    for trial in result.study.trials:
        assert list(trial.params) == ["c", trial.params["c"]]
        value = trial.params[trial.params["c"]]
        if trial.state == TrialState.COMPLETE:
            assert trial.value == value
            assert trial.user_attrs["seen"] == trial.params
        else:
            assert trial.value == trial.intermediate_values[trial.last_step or 0] > 7.5


def test_a_plain_trial_objective_has_its_parameters_drawn_ahead() -> None:
    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", -5, 5) ** 2

    result = optimizer.optimize(objective, FLOAT, n_trials=8, workers=2)
    for trial in result.study.trials:
        assert trial.value == trial.params["x"] ** 2


def test_stop_from_a_worker() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 1:
            trial.study.stop()
        return trial.suggest_float("x", 0, 1)

    result = optimizer.optimize(objective, n_trials=1_000, workers=2)
    assert len(result.study.trials) < 1_000


def test_what_a_worker_cannot_reach_is_said() -> None:
    def objective(trial: optuna.Trial) -> float:
        return float(len(trial.study.trials))

    with pytest.raises(AttributeError, match=r"trial\.study\.trials in a worker"):
        optimizer.optimize(objective, n_trials=3, workers=2)


def test_errors_with_and_without_catch() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        context.set_user_attr("seen", context.number)
        if context.number == 2:
            raise ValueError("two of them")
        return float(params["x"])

    result = optimizer.optimize(objective, FLOAT, n_trials=6, workers=2, catch=ValueError)
    failed = result.study.trials[2]
    assert states(result.study).count("FAIL") == 1
    assert failed.state == TrialState.FAIL
    assert "two of them" in failed.user_attrs[TRACEBACK]
    assert failed.user_attrs["seen"] == 2
    study = optuna.create_study()
    with pytest.raises(ValueError, match="two of them"):
        optimizer.optimize(objective, FLOAT, n_trials=60, workers=2, study=study)
    assert len(study.trials) < 60
    assert "RUNNING" not in states(study)


class TwoFacedError(Exception):
    """Like many errors of many libraries, it cannot be unpickled."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


def test_errors_that_cannot_travel_are_caught_by_their_class() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        context.set_user_attr("seen", context.number)
        if context.number == 2:
            raise TwoFacedError(5, "two of them")
        return float(params["x"])

    result = optimizer.optimize(objective, FLOAT, n_trials=6, workers=2, catch=TwoFacedError)
    failed = result.study.trials[2]
    assert states(result.study).count("COMPLETE") == 5
    assert "5: two of them" in failed.user_attrs[TRACEBACK]
    assert failed.user_attrs["seen"] == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_no_value_fails_its_trial_wherever_it_ran(workers: int) -> None:
    wrong: dict[int, Any] = {1: threading.Lock, 2: str, 3: lambda: 10**400, 4: lambda: [1.0, 2.0]}

    def objective(params: dict[str, Any], context: Any) -> Any:
        return wrong.get(context.number, lambda: params["x"])()

    result = optimizer.optimize(objective, FLOAT, n_trials=7, workers=workers)
    failed = [trial.number for trial in result.study.trials if trial.state == TrialState.FAIL]
    assert failed == [1, 2, 3, 4]


def test_a_worker_that_dies_is_replaced_and_its_trial_tried_again(tmp_path: Path) -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        first = tmp_path / str(context.number)
        if context.number in (1, 3) and not first.exists():
            first.touch()
            context.report(0, 1.0)
            os.kill(os.getpid(), signal.SIGKILL)
        context.report(0, 1.0)
        return float(params["x"])

    storage = tmp_path / "study.db"
    result = optimizer.optimize(objective, FLOAT, n_trials=6, workers=2, storage=storage)
    assert states(result.study) == ["COMPLETE"] * 6
    assert result.run.retried == 2
    assert all(trial.value == trial.params["x"] for trial in result.study.trials)


def test_a_trial_that_kills_its_workers_fails_and_the_study_goes_on() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        if context.number == 1:
            os._exit(9)
        return float(params["x"])

    result = optimizer.optimize(objective, FLOAT, n_trials=5, workers=2, retries=0)
    assert result.study.trials[1].state == TrialState.FAIL
    assert states(result.study).count("COMPLETE") == 4


def test_a_trial_that_hangs_fails_and_the_study_goes_on() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        if context.number == 1:
            time.sleep(600)
        return float(params["x"])

    result = optimizer.optimize(
        objective, FLOAT, n_trials=4, workers=1, retries=0, trial_timeout_s=1.5
    )
    assert states(result.study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_duplicates_in_flight_are_one_evaluation(tmp_path: Path) -> None:
    space = {"n": {"type": "int", "min": 0, "max": 100}}

    def objective(params: dict[str, Any]) -> float:
        with (tmp_path / str(params["n"])).open("a") as calls:
            calls.write(".")
        time.sleep(0.05)
        return float(params["n"])

    study = optuna.create_study()
    for n in (7, 7, 3, 7, 3, 5):
        study.enqueue_trial({"n": n})
    result = optimizer.optimize(objective, space, study=study, n_trials=6, workers=2)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "3": ".",
        "5": ".",
        "7": ".",
    }
    served = [trial.user_attrs.get(SERVED_OF) for trial in study.trials]
    assert served == [None, 0, None, 0, 2, None]
    assert result.run.served == 3


def test_a_data_part_in_a_worker() -> None:
    def objective(params: dict[str, Any], context: Any) -> float:
        assert len(context.data["a"]) == round(100 * context.fraction)
        return len(context.data["a"]) + float(params["x"]) ** 2

    data = {"a": np.zeros(100)}
    result = optimizer.optimize(
        objective, FLOAT, n_trials=30, workers=2, mode="fast", data=data, seed=1
    )
    assert result.run.subsampled > 0
    for trial in result.study.trials:
        assert (trial.state == TrialState.COMPLETE) == ((trial.value or 0) >= 100)


def test_what_the_study_refuses_is_the_trials_own_error(tmp_path: Path) -> None:
    def changing(trial: optuna.Trial) -> float:
        trial.suggest_categorical("c", ["x", "y"] if trial.number % 2 else ["z"])
        return 1.0

    result = optimizer.optimize(changing, n_trials=6, workers=2, catch=ValueError)
    assert sorted(set(states(result.study))) == ["COMPLETE", "FAIL"]

    def unstorable(params: dict[str, Any], context: Any) -> float:
        if context.number == 1:
            context.set_user_attr("pid", {1, 2})
        return 1.0

    result = optimizer.optimize(
        unstorable, FLOAT, n_trials=4, workers=2, catch=TypeError, storage=tmp_path / "study.db"
    )
    assert states(result.study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.stress
def test_a_thousand_kills_and_each_trial_is_recorded_once(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> float:
        if int.from_bytes(os.urandom(2), "big") < 65_536 // 10:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(params["x"]) ** 2

    result = optimizer.optimize(
        objective,
        FLOAT,
        n_trials=10_000,
        workers=2,
        retries=50,
        storage=tmp_path / "study.db",
        sampler=optuna.samplers.RandomSampler(seed=1),
    )
    assert states(result.study) == ["COMPLETE"] * 10_000
    assert all(trial.value == trial.params["x"] ** 2 for trial in result.study.trials)
    assert result.run.retried > 500
