"""A point counts once: served, drawn again, or evaluated as asked; and a space that is all done."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import optimizer
from optimizer.efficiency import EfficiencyConfig
from optimizer.sampling.enumeration import CapWarning
from optimizer.study.duplicates import SERVED_OF, VALUE

FOUR = {
    "a": {"type": "int", "min": 0, "max": 1},
    "b": {"type": "categorical", "choices": ["x", "y"]},
}
LINE = {"n": {"type": "int", "min": 0, "max": 1_000}}


class Counting:
    """An objective that knows how often it was called for each point."""

    def __init__(self, value: Callable[[dict[str, Any]], Any] = lambda params: params["n"]) -> None:
        self.calls: Counter[tuple[Any, ...]] = Counter()
        self._value = value

    def __call__(self, params: dict[str, Any]) -> Any:
        self.calls[tuple(params.values())] += 1
        return self._value(params)


def enqueue(study: optuna.Study, numbers: list[int]) -> None:
    for number in numbers:
        study.enqueue_trial({"n": number})


def objective_of(params: dict[str, Any]) -> float:
    return float(params["a"]) + len(params["b"])


def test_a_point_is_evaluated_once_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    study = optuna.create_study()
    enqueue(study, [7, 3, 7, 7, 3])
    objective = Counting()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.INFO, logger="optuna"):
            result = optimizer.optimize(objective, LINE, study=study, n_trials=5)
    finally:
        optuna.logging.disable_propagation()
    assert objective.calls == {(7,): 1, (3,): 1}
    states = [trial.state.name for trial in result.study.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "FAIL", "FAIL"]
    attributes = [trial.user_attrs for trial in result.study.trials[2:]]
    served = [(one[SERVED_OF], one[VALUE]) for one in attributes]
    assert served == [(0, 7.0), (0, 7.0), (1, 3.0)]
    assert [trial.params for trial in result.study.trials[2:]] == [{"n": 7}, {"n": 7}, {"n": 3}]
    assert "Trial 2: Using cached value 7.000000 for duplicate parameters" in caplog.text
    assert (result.run.served, result.run.trials, result.best_value) == (3, 5, 3.0)


def test_evaluate_is_what_optuna_does() -> None:
    study = optuna.create_study()
    enqueue(study, [7, 7])
    objective = Counting()
    optimizer.optimize(objective, LINE, study=study, n_trials=2, duplicates="evaluate")
    assert objective.calls == {(7,): 2}
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]


def test_resampled_ones_are_other_points() -> None:
    space = {"n": {"type": "int", "min": 0, "max": 19}}
    objective = Counting()
    sampler = optuna.samplers.RandomSampler(seed=1)
    result = optimizer.optimize(
        objective, space, n_trials=15, sampler=sampler, duplicates="resample"
    )
    assert set(objective.calls.values()) == {1}
    assert len(objective.calls) == 15
    assert all(trial.state == TrialState.COMPLETE for trial in result.study.trials)
    assert result.run.resampled > 0


def test_resampling_finds_the_last_point_and_serves_what_was_enqueued() -> None:
    class Stubborn(optuna.samplers.RandomSampler):
        def sample_independent(self, *_: Any) -> Any:
            return 0

    study = optuna.create_study(sampler=Stubborn())
    space = {"n": {"type": "int", "min": 0, "max": 30}}
    objective = Counting()
    optimizer.optimize(objective, space, study=study, n_trials=9, duplicates="resample")
    assert len(objective.calls) == 9
    enqueue(study, [0])
    optimizer.optimize(objective, space, study=study, n_trials=1, duplicates="resample")
    assert study.trials[-1].user_attrs[SERVED_OF] == 0


def test_a_finite_space_is_capped_and_enumerated() -> None:
    with pytest.warns(CapWarning, match=r"only 4 unique combinations but 100 .* Capping to 4\."):
        result = optimizer.optimize(objective_of, FOUR, n_trials=100, seed=1)
    points = [tuple(trial.params.values()) for trial in result.study.trials]
    assert sorted(points) == [(0, "x"), (0, "y"), (1, "x"), (1, "y")]
    assert all(trial.state == TrialState.COMPLETE for trial in result.study.trials)


def test_enumeration_needs_no_cap() -> None:
    result = optimizer.optimize(objective_of, FOUR, n_trials=4, seed=1)
    assert len({tuple(trial.params.values()) for trial in result.study.trials}) == 4


def test_what_is_left_is_enumerated_and_then_nothing_is() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"a": 1, "b": "x"})
    optimizer.optimize(objective_of, FOUR, study=study, n_trials=1)
    study.enqueue_trial({"a": 0, "b": "y"})
    with pytest.warns(CapWarning, match="1 of them evaluated, but 9 .* Capping to 3"):
        result = optimizer.optimize(objective_of, FOUR, study=study, n_trials=9)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 4
    assert result.run.trials == 3
    with pytest.warns(CapWarning, match="Capping to 0"):
        assert optimizer.optimize(objective_of, FOUR, study=study, n_trials=9).run.trials == 0


def test_without_a_number_a_finite_space_ends_when_it_is_done() -> None:
    result = optimizer.optimize(objective_of, FOUR, timeout=60, seed=1)
    complete = [trial for trial in result.study.trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == 4


def test_trial_objectives_are_served_from_their_second_trial_on() -> None:
    calls = []

    def objective(trial: optuna.Trial) -> float:
        calls.append(trial.number)
        return trial.suggest_int("n", 0, 1_000)

    study = optuna.create_study()
    enqueue(study, [7, 7, 3, 7])
    optimizer.optimize(objective, study=study, n_trials=4)
    assert calls == [0, 2]
    assert [trial.params["n"] for trial in study.trials] == [7, 7, 3, 7]
    enqueue(study, [3])
    optimizer.optimize(objective, study=study, n_trials=1)
    assert calls == [0, 2]


def test_a_failed_point_is_no_value() -> None:
    def value(params: dict[str, Any]) -> float:
        if objective.calls[7,] < 2:
            raise ValueError
        return 1.0

    objective = Counting(value)
    study = optuna.create_study()
    enqueue(study, [7, 7, 7])
    optimizer.optimize(objective, LINE, study=study, n_trials=3, catch=ValueError)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "FAIL"]
    assert study.trials[2].user_attrs[SERVED_OF] == 1


def test_no_parameters_are_no_point() -> None:
    calls = []

    def objective(trial: optuna.Trial) -> float:
        calls.append(trial.number)
        return 1.0

    optimizer.optimize(objective, n_trials=3)
    assert calls == [0, 1, 2]


def test_what_a_trial_suggests_beyond_the_space_is_part_of_its_point(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def objective(trial: optuna.Trial) -> float:
        calls.append(trial.number)
        return trial.suggest_int("n", 0, 1_000) + trial.suggest_float("hidden", 0, 1)

    study = optuna.create_study()
    enqueue(study, [7, 7, 7])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    try:
        optimizer.optimize(objective, LINE, study=study, n_trials=3)
    finally:
        optuna.logging.disable_propagation()
    assert calls == [0, 1, 2]
    said = {id(one) for one in caplog.records if "suggest the same parameters" in one.message}
    assert len(said) == 1


def test_a_branching_objective_records_what_it_suggested() -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("c", ["x", "y"]) == "x":
            return trial.suggest_float("x", 0, 1)
        return trial.suggest_int("y", 0, 5)

    result = optimizer.optimize(objective, n_trials=30, seed=1)
    for trial in result.study.trials:
        assert list(trial.params) == ["c", trial.params["c"]]
        assert trial.value == trial.params[trial.params["c"]]


@pytest.mark.parametrize("space", [LINE, {"n": {"type": "float", "min": 0, "max": 1}}])
def test_values_of_an_earlier_study_are_found_in_the_file(
    tmp_path: Path, space: dict[str, Any]
) -> None:
    path = tmp_path / "study.db"
    asked: dict[str, Any] = {"storage": path, "seed": 1, "n_trials": 6, "version": "1"}
    objective = Counting()
    ref = optimizer.optimize(objective, space, **asked)
    values = [trial.values for trial in ref.study.trials]
    optuna.delete_study(study_name="default", storage=ref.study._storage)
    comp = optimizer.optimize(objective, space, **asked)
    assert [trial.values for trial in comp.study.trials] == values
    assert all(trial.state == TrialState.COMPLETE for trial in comp.study.trials)
    assert set(objective.calls.values()) == {1}
    assert comp.run.served == 6


def test_a_changed_objective_is_not_served_what_the_old_one_said(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    first = optimizer.optimize(
        Counting(), LINE, n_trials=1, storage=path, version="1", warm_start=None
    )
    point = first.best_params
    for version, calls in (("2", 1), ("2", 0), ("1", 0)):
        first.study.enqueue_trial(point)
        objective = Counting(lambda params: -1.0)
        result = optimizer.optimize(objective, LINE, n_trials=1, storage=path, version=version)
        assert objective.calls.total() == calls, version
    assert result.best_value == -1.0


def test_a_changed_objective_is_evaluated_all_over_a_finite_space(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"storage": tmp_path / "study.db", "seed": 1, "n_trials": 4}
    optimizer.optimize(objective_of, FOUR, **asked, version="1")
    comp = optimizer.optimize(lambda params: -objective_of(params), FOUR, **asked, version="2")
    assert [trial.state for trial in comp.study.trials] == [TrialState.COMPLETE] * 8
    assert comp.best_value == -2.0
    assert comp.report().endswith(
        "changed since the 4 earlier trials of this study: their values are not served, but they "
        "still count for best_value and the sampler; a new study_name begins anew"
    )


def test_two_trials_in_flight_at_one_point_are_one_evaluation() -> None:
    calls = []
    started = threading.Event()

    def objective(params: dict[str, Any]) -> float:
        calls.append(params["n"])
        if params["n"] == 7:
            started.wait(10)  # until the other worker has been at it too
        else:
            started.set()
        return float(params["n"])

    study = optuna.create_study()
    enqueue(study, [7, 7, 3])
    result = in_threads(objective, study, 3)
    assert sorted(calls) == [3, 7]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[1].user_attrs[SERVED_OF] == 0
    assert result.run.served == 1


def test_if_the_first_in_flight_fails_the_next_is_evaluated() -> None:
    calls: list[int] = []

    def objective(params: dict[str, Any]) -> float:
        calls.append(params["n"])
        if params["n"] == 7 and calls.count(7) == 1:
            time.sleep(0.05)
            raise ValueError
        return float(params["n"])

    study = optuna.create_study()
    enqueue(study, [7, 7, 3])
    in_threads(objective, study, 3, catch=ValueError)
    assert sorted(calls) == [3, 7, 7]
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def in_threads(
    objective: Callable[..., Any], study: optuna.Study, n: int, **options: Any
) -> optimizer.Result:
    config = EfficiencyConfig(
        use_process_pool=False, enable_data_subsampling=False, cache_ttl_hours=None
    )
    return optimizer.optimize(
        objective, LINE, study=study, n_trials=n, workers=2, mode=config, **options
    )


@pytest.mark.parametrize("duplicates", ["serve", "resample"])
@pytest.mark.parametrize("is_given", [True, False])
def test_a_run_without_a_number_of_trials_comes_to_the_end_of_a_finite_space(
    duplicates: Any, is_given: bool
) -> None:
    space = {name: {"type": "int", "min": 0, "max": 9} for name in "ab"}
    points: list[tuple[int, int]] = []

    def bowl(a: int, b: int) -> float:
        points.append((a, b))
        if (a, b) == (0, 0):
            raise ValueError("no value here")
        if (a, b) == (9, 9):
            raise optuna.TrialPruned
        return (a - 4) ** 2 + (b - 4) ** 2

    def of_params(params: dict[str, int]) -> float:
        return bowl(**params)

    def of_trial(trial: optuna.Trial) -> float:
        return bowl(trial.suggest_int("a", 0, 9), trial.suggest_int("b", 0, 9))

    def not_for_ever(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        assert trial.number < 1_000

    result = optimizer.optimize(
        of_params if is_given else of_trial,
        space if is_given else None,
        seed=1,
        duplicates=duplicates,
        catch=ValueError,
        callbacks=[not_for_ever],
    )
    assert len(set(points)) == 100  # a sampler alone finds the best, and stays there
    assert len(result.study.trials) < 250
