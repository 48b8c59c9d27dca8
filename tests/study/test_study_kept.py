"""Workers that stay from one study to the next."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import optimizer
from optimizer.errors import StudyArgumentError
from optimizer.study.kept import Workers

FLOAT = {"x": {"type": "float", "min": -5, "max": 5}}


def objective(params: dict[str, Any], context: Any) -> float:
    context.set_user_attr("pid", os.getpid())
    until_s = time.thread_time() + 0.01  # long enough to be worth the way to a worker
    while time.thread_time() < until_s:
        pass
    return float(params["x"] + context.data["a"][0])


def pids(result: optimizer.Result) -> set[int]:
    """Of the workers; the first trials are measured in this process."""
    found = {trial.user_attrs["pid"] for trial in result.study.trials}
    return found - {os.getpid()}


def study(workers: Workers, data: dict[str, Any], **options: Any) -> optimizer.Result:
    return optimizer.optimize(
        objective, FLOAT, n_trials=16, workers=workers, data=data, progress=False, **options
    )


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_same_processes_evaluate_the_next_study_and_end_with_close() -> None:
    data = {"a": np.zeros(10)}
    with Workers(2) as workers:
        first, second = study(workers, data), study(workers, {"a": np.zeros(10)})
        assert first.run.where.startswith("processes")
        assert len(pids(first)) == 2
        assert pids(first) == pids(second)
        # The second counts from its own start.
        assert second.run.phases_s["transport"] < 1.0
        assert (first.run.start_s > 0.0, second.run.start_s) == (True, 0.0)
    assert not any(map(is_running, pids(first)))
    third = study(workers, data)  # closed ones start again
    assert pids(third).isdisjoint(pids(first))
    workers.close()
    workers.close()


def test_data_that_were_written_to_are_sent_again() -> None:
    data = {"a": np.zeros(10)}
    with Workers(2) as workers:
        first = study(workers, data)
        data["a"][0] = 1_000.0
        second = study(workers, data)
    assert second.study.best_value > 900.0  # the least of all
    assert pids(first).isdisjoint(pids(second))


def test_an_objective_whose_closure_changed_is_sent_again() -> None:
    known = {"by": 1.0}

    def scaled(params: dict[str, Any], context: Any) -> float:
        context.set_user_attr("by", known["by"])
        return objective(params, context)

    with Workers(2) as workers:
        for by in (1.0, 2.0):
            known["by"] = by
            result = optimizer.optimize(
                scaled, FLOAT, n_trials=16, workers=workers, data={"a": np.zeros(1)}
            )
            assert {trial.user_attrs["by"] for trial in result.study.trials} == {by}


def test_an_objective_whose_module_changed_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "changing_objective.py"
    text = """
import os, time
def objective(params, context):
    context.set_user_attr("pid", os.getpid())
    context.set_user_attr("by", BY)
    time.sleep(0.01)
    return params["x"]
BY = """
    file.write_text(text + "1")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module: Any = importlib.import_module("changing_objective")
    with Workers(2) as workers:
        for by in (1, 2):
            file.write_text(text + str(by))
            module = importlib.reload(module)
            result = optimizer.optimize(module.objective, FLOAT, n_trials=16, workers=workers)
            assert {trial.user_attrs["by"] for trial in result.study.trials} == {by}
    monkeypatch.delitem(sys.modules, "changing_objective")


def test_a_study_that_ends_with_an_error_leaves_none_of_its_trials_in_workers() -> None:
    def ends(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number == 6:
            raise ValueError("enough")

    data = {"a": np.zeros(10)}
    with Workers(2) as workers:
        with pytest.raises(ValueError, match="enough"):
            study(workers, data, callbacks=[ends])
        result = study(workers, data)
        assert {trial.state.name for trial in result.study.trials} == {"COMPLETE"}


def test_one_study_at_a_time() -> None:
    with Workers(2) as workers:

        def another(outer: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            if trial.number == 8:
                study(workers, {"a": np.zeros(3)})

        with pytest.raises(StudyArgumentError, match="that another study is using"):
            study(workers, {"a": np.zeros(10)}, callbacks=[another])


def test_a_warm_up_is_called_here_and_in_each_worker_before_its_first_trial() -> None:
    data = {"a": np.zeros(10), "warm": [False]}

    def warm_up(given: Any) -> None:
        given["warm"][0] = True

    def warm(params: dict[str, Any], context: Any) -> float:
        context.set_user_attr("warm", context.data["warm"][0])
        return objective(params, context)

    result = optimizer.optimize(
        warm, FLOAT, n_trials=16, workers=2, data=data, warm_up=warm_up, progress=False
    )
    assert all(trial.user_attrs["warm"] for trial in result.study.trials)
    assert data["warm"] == [False]  # that was in workers
    optimizer.optimize(warm, FLOAT, n_trials=1, data=data, warm_up=warm_up)
    assert data["warm"] == [True]
    with pytest.raises(StudyArgumentError, match="warm_up is 1, expected a function of the data"):
        optimizer.optimize(warm, FLOAT, n_trials=1, data=data, warm_up=1)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize("count", [0, -1, 1.0, True, "2"])
def test_counts_that_make_no_sense(count: Any) -> None:
    with pytest.raises(StudyArgumentError, match="expected an integer of at least 1, or None"):
        Workers(count)
    with pytest.raises(StudyArgumentError, match="'auto', or Workers"):
        optimizer.optimize(lambda p: p["x"], FLOAT, n_trials=1, workers=1.5)  # type: ignore[arg-type]  # what is tested
